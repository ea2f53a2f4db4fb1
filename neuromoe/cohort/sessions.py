"""Names of sessions, as their files carry them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def session_key(participant: str, session: Any) -> str:
    """Name a session as its files do.

    Examples
    --------
    >>> session_key("sub-01", "n/a"), session_key("01", "ses-2"), session_key("sub-01", "2")
    ('sub-01', 'sub-01_ses-2', 'sub-01_ses-2')
    """
    who = str(participant).removeprefix("sub-")
    when = "" if session is None or session != session else str(session).removeprefix("ses-")
    return f"sub-{who}" if when in ("", "n/a") else f"sub-{who}_ses-{when}"


def table_keys(table: "pd.DataFrame") -> list[str]:
    """Name the session of each row of a table with participant_id and, perhaps, session_id."""
    sessions = table["session_id"] if "session_id" in table else [None] * len(table)
    return [session_key(who, when) for who, when in zip(table["participant_id"], sessions, strict=True)]
