"""Uploads, blobs, and what refers to them."""

import sqlalchemy as sa
from alembic import op

from server.storage.metadata import Identifier

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", Identifier(), nullable=False),
        sa.Column("device", Identifier(), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=True),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("announced", sa.String(length=80), nullable=True),
        sa.Column("concat", sa.Text(), nullable=True),
        sa.Column("digest", sa.String(length=80), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_uploads_device")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index("uploads_of_device", "uploads", ["device", "created_ms"], unique=False)
    op.create_index("uploads_by_state", "uploads", ["state", "expires_ms"], unique=False)
    op.create_table(
        "blobs",
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.String(length=40), nullable=False),
        sa.Column("stored_ms", sa.BigInteger(), nullable=True),
        sa.Column("idle_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("collecting", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blobs")),
    )
    op.create_table(
        "media_claims",
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("device", Identifier(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("claimed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "user", name=op.f("pk_media_claims")),
    )
    op.create_table(
        "media_references",
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("record", Identifier(), nullable=False),
        sa.Column("field", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("noted_ms", sa.BigInteger(), nullable=False),
        sa.Column("check_ms", sa.BigInteger(), nullable=True),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "record", "field", "user", name=op.f("pk_media_references")),
    )
    op.create_index("media_references_to_check", "media_references", ["check_ms"], unique=False)
    op.create_index("media_references_of_record", "media_references", ["record"], unique=False)


def downgrade() -> None:
    for table in ("media_references", "media_claims", "blobs", "uploads"):
        op.drop_table(table)
