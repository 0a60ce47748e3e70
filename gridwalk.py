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
    "history": ("server.cli.history:history", "Who changed which field of a record when 历史"),
    "import": ("server.cli.importing:import_", "Load a CSV or GeoJSON file 导入"),
    "export": ("server.cli.exporting:export", "Write records to GeoJSON or CSV 导出"),
    "grids": ("server.cli.gridding:grids", "Generate unit grids for a district 生成网格"),
    "backup": ("server.cli.backups:backup", "Copy the database while the server runs 备份"),
    "restore": ("server.cli.backups:restore", "Put a backup in the database's place 恢复"),
    "renew-epoch": (
        "server.cli.backups:renew",
        "After pg_restore: tell all devices that the contents changed 更换纪元",
    ),
    "media": ("server.cli.media:media", "Photos and videos: list, collect, verify 媒体"),
    "purge": ("server.cli.retention:purge", "Drop traces of deletions no device needs any more 清理"),
    "sample": ("server.cli.sampling:sample", "Write sample data of Futian 示例数据"),
    "demo": ("client_sdk.demo.command:main", "Watch a day's work on a real server 演示"),
    "torture": ("client_sdk.torture:main", "Kill a server under load, and check that nothing is lost 强制中断测试"),
    "simulate": ("client_sdk.simulation.command:main", "Play seeded runs of devices and servers 模拟测试"),
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
