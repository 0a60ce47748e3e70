"""Records and changes know the version of the type that their fields are in."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
_TABLES = ("records", "changes")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("type_version", sa.BigInteger(), server_default="1", nullable=False))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "type_version")
