"""Pictures in use, found again by their looks."""

import sqlalchemy as sa
from alembic import op

from server.storage.metadata import Identifier

revision = "0003"
down_revision = "0002"
_BANDS = ("band0", "band1", "band2", "band3")


def upgrade() -> None:
    op.create_table(
        "seen_pictures",
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("record", Identifier(), nullable=False),
        sa.Column("fingerprint", sa.BigInteger(), nullable=True),
        *(sa.Column(band, sa.Integer(), nullable=True) for band in _BANDS),
        sa.PrimaryKeyConstraint("digest", "record", name=op.f("pk_seen_pictures")),
    )
    op.create_index("seen_pictures_of_record", "seen_pictures", ["record"], unique=False)
    for band in _BANDS:
        op.create_index(f"seen_pictures_by_{band}", "seen_pictures", [band], unique=False)


def downgrade() -> None:
    op.drop_table("seen_pictures")
