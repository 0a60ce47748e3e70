"""Claims to media know whether the bytes were sent, and checks what the record was like then."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("media_claims", sa.Column("sent", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("media_references", sa.Column("basis", sa.String(64), nullable=True))


def downgrade() -> None:
    op.drop_column("media_references", "basis")
    op.drop_column("media_claims", "sent")
