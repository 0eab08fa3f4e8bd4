"""The dashboard: three pages in Streamlit that know nothing but the API.

`app.py` is what `streamlit run` starts. A page asks `client.Api`, hands plain answers to pure functions
(`kpi_data`, `charts`, `words`) and draws what they give; `notices` says what is the matter when there is
nothing to draw.
"""
