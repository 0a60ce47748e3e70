"""When a picture was first used, and what a device's own clock said when it made a change."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("changes", sa.Column("wall_ms", sa.BigInteger(), nullable=True))
    op.add_column("seen_pictures", sa.Column("noted_ms", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("seen_pictures", "noted_ms")
    op.drop_column("changes", "wall_ms")
