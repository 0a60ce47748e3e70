"""The command `gridwalk`: which commands there are, and where each lives. A command is imported when it is called."""

import importlib
import sys

COMMANDS = {
    "serve": ("server.cli.serving:serve", "Start the server 启动服务"),
    "init": ("server.cli.serving:init", "Prepare the database and the signing key 初始化"),
    "settings": ("server.cli.serving:settings", "Show every setting and where it comes from 查看配置"),
    "user": ("server.cli.users:user", "Accounts: add, password, disable, enable, list 账户"),
    "grant": ("server.cli.grants:grant", "Who may do what, where: give, end, list 授权"),
    "device": ("server.cli.devices:device", "Enrolled devices: list, revoke 设备"),
    "import": ("server.cli.importing:import_", "Load a CSV or GeoJSON file 导入"),
    "export": ("server.cli.exporting:export", "Write records to GeoJSON or CSV 导出"),
    "grids": ("server.cli.gridding:grids", "Generate unit grids for a district 生成网格"),
    "sample": ("server.cli.sampling:sample", "Write sample data of Futian 示例数据"),
    "demo": ("client_sdk.demo:main", "Watch a day's work on a real server 演示"),
}
"""Name to (module:object, one line of help)."""


def main() -> None:
    """Run the command line; on the bare install, which has none, say what to install."""
    try:
        root = importlib.import_module("server.cli.root")
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("gridwalk: the command line needs the server's packages: pip install 'gridwalk[server]'")
    root.root_of(COMMANDS).main(prog_name="gridwalk")


if __name__ == "__main__":
    main()
