"""The HTTP API: KPIs, alerts, quality and the pipeline's state, read-only but for an alert's acknowledgement."""

from ecom_lakehouse.serving.api.app import create_app

__all__ = ["create_app"]
