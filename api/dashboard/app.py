"""All pages of the dashboard, as part of the application."""

from fastapi import FastAPI

from api.dashboard import models, nodes, overview, playground, signing_in
from api.dashboard.assets import Assets
from api.dashboard.jobs import downloads, job, listing
from api.dashboard.settings import accounts, index, keys, webhooks
from api.dashboard.usage import report

_PAGES = (
    signing_in.router,
    overview.router,
    listing.router,
    job.router,
    downloads.router,
    models.router,
    nodes.router,
    playground.router,
    report.router,
    index.router,
    keys.router,
    accounts.router,
    webhooks.router,
)


def add_dashboard(app: FastAPI) -> None:
    """Serve the pages at `/`, and what they are made of under `/static`."""
    for router in _PAGES:
        app.include_router(router, include_in_schema=False)
    app.mount("/static", Assets())
