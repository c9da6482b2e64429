"""What tests of the view read from its mocked model: traits, messages sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["concept_names", "edits", "sent", "trait", "wait_for_sent"]


def trait(page: Page, name: str) -> Any:
    """The value of a JSON trait."""
    return page.evaluate("name => window.lloom.model.get(name)", name)


def sent(page: Page, kind: str) -> list[dict[str, Any]]:
    """Messages of a kind that the view has sent, without their ids, oldest first."""
    messages: list[dict[str, Any]] = page.evaluate(
        """kind => window.lloom.model.sent.filter((message) => message.kind === kind)
          .map(({ id, kind, ...rest }) => rest)""",
        kind,
    )
    return messages


def wait_for_sent(page: Page, kind: str, n: int = 1) -> list[dict[str, Any]]:
    """As `sent`, once there are `n` of them."""
    page.wait_for_function(
        "([kind, n]) => window.lloom.model.sent.filter((message) => message.kind === kind).length >= n",
        arg=[kind, n],
    )
    return sent(page, kind)


def edits(page: Page) -> list[dict[str, Any]]:
    """The edits that were asked for."""
    return sent(page, "edit")


def concept_names(page: Page) -> list[str]:
    """Names of the concepts, in the order of the codebook."""
    return [concept["name"] for concept in trait(page, "concepts")]
