"""What `streamlit run` starts: settings, sidebar, navigation, and the page that was asked for."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st

from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.serving.dashboard import live, pipeline, quality
from ecom_lakehouse.serving.dashboard.client import Api
from ecom_lakehouse.serving.dashboard.palette import palette
from ecom_lakehouse.serving.dashboard.view import choose
from ecom_lakehouse.settings import load_settings

HERE = Path(__file__).parent
PAGES = (
    (live.page, "Live", "live", ":material/monitoring:"),
    (quality.page, "Quality", "quality", ":material/rule:"),
    (pipeline.page, "Pipeline", "pipeline", ":material/account_tree:"),
)


@st.cache_resource(on_release=Api.close)
def shared_api() -> Api:
    """One client of the API for every viewer."""
    return Api(load_settings())


st.set_page_config(page_title="Lakehouse", page_icon=str(HERE / "icon.svg"), layout="wide")
colours = palette(st.context.theme.type)
st.html(f"<style>:root {{ {colours.as_css()} }} {(HERE / 'dashboard.css').read_text()}</style>")
try:
    api = shared_api()
except SettingsError as error:
    st.error(f"**A setting is wrong.** {error}")
    st.stop()
view = choose()
chosen = st.navigation(
    [
        st.Page(partial(page, api, view), title=title, url_path=path, icon=icon, default=path == "live")
        for page, title, path, icon in PAGES
    ],
    position="top",
)
chosen.run()
