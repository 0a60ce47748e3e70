"""The next file to be checked of each person is found at once; names of files were kept for nobody."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
_NAMED = ("uploads", "media_claims")
_TO_CHECK = "media_references_to_check"
_WAITS = sa.text("check_ms IS NOT NULL")


def upgrade() -> None:
    op.drop_index(_TO_CHECK, "media_references")
    op.create_index(_TO_CHECK, "media_references", ["user", "check_ms"], sqlite_where=_WAITS, postgresql_where=_WAITS)
    for table in _NAMED:
        op.drop_column(table, "name")


def downgrade() -> None:
    for table in _NAMED:
        op.add_column(table, sa.Column("name", sa.String(200), server_default="", nullable=False))
    op.drop_index(_TO_CHECK, "media_references")
    op.create_index(_TO_CHECK, "media_references", ["check_ms"])
