"""gridwalk sample"""

from pathlib import Path

import click

from server.cli.session import done
from server.cli.words import CommandFailed
from server.sample.files import write_sample


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("sample"), show_default=True, metavar="DIR", help="Folder."
)
@click.option(
    "--components",
    type=click.IntRange(0, 2_000_000),
    default=20_000,
    show_default=True,
    metavar="COUNT",
    help="How many components.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same sample.")
def sample(out: Path, components: int, seed: int) -> None:
    """Write sample data of Futian 示例数据: grids.geojson, components.csv, parks.geojson.

    Ten street areas with communities and unit grids, components along streets, parks and venues. Real are the
    street codes and the parks' names and centres, all else is made up.

    \b
    Example:
      gridwalk sample --out sample
      gridwalk import sample/grids.geojson --type unit_grid
      gridwalk import sample/components.csv --type component
      gridwalk import sample/parks.geojson --type component
    """
    try:
        write_sample(out, components, seed)
    except OSError as error:
        raise CommandFailed(f"无法写 {out}：{error.strerror}", f"cannot write {out}: {error.strerror}") from error
    done(f"示例数据写入 {out}", f"The sample is in {out}")
