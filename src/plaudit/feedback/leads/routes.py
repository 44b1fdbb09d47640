"""What leads and adjudicators ask for: one router of all their routes, and their page."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from plaudit.feedback import site
from plaudit.feedback.leads import board_routes as lead_board_routes
from plaudit.feedback.leads import data_routes as lead_data_routes
from plaudit.feedback.leads import exchange_routes as lead_exchange_routes
from plaudit.feedback.leads import item_routes as lead_item_routes
from plaudit.feedback.leads import people_routes as lead_people_routes

router = APIRouter()
PARTS = (
    lead_board_routes,
    lead_people_routes,
    lead_item_routes,
    lead_data_routes,
    lead_exchange_routes,
)
for part in PARTS:
    router.include_router(part.router)


@router.get("/lead/{project}", include_in_schema=False)
async def lead_page(project: str, request: Request) -> Response:
    """The same page for every project; what is in it comes from the API."""
    return site.send(site.page("lead.html"), request)
