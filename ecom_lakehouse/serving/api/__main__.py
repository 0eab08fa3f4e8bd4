"""`python -m ecom_lakehouse.serving.api`: the API on the settings' host and port."""

from __future__ import annotations

from ecom_lakehouse.serving.api.server import serve
from ecom_lakehouse.settings import load_settings

serve(load_settings())
