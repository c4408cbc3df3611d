"""A machine of its own, started by systemd: namespaces on this one, its files below, all changes above.

Nothing outside is changed: files are an overlay in memory, processes and cgroups end with the machine. Only
the network is shared, so that a simulator on loopback can be reached. It takes root and an installed systemd.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Self

from tests.fleet_support import ROOT

BOOT_SECONDS = 60.0
CGROUPS = Path("/sys/fs/cgroup")
TOOLS = ("unshare", "nsenter", "mount", "pivot_root", "/lib/systemd/systemd", "systemctl")

#: Run in fresh namespaces with: directory, checkout, packages, wheel, unified or hybrid.
BOOT = r"""
set -eu
base=$1 checkout=$2 packages=$3 wheels=$4 cgroups=$5
mount --make-rprivate /
mount -t tmpfs tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
root=$base/root
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
if [ "$cgroups" = unified ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/unified" "$root/sys/fs/cgroup/systemd"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
    mount -o remount,ro "$root/sys/fs/cgroup"
fi
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/dev/shm"
mkdir -p "$root/opt/checkout" "$root/opt/packages" "$root/opt/wheels"
mount --bind "$checkout" "$root/opt/checkout"
mount -o remount,bind,ro "$root/opt/checkout"
mount --bind "$packages" "$root/opt/packages"
mount --bind "$wheels" "$root/opt/wheels"
cd "$root"
pivot_root . mnt
umount -l /mnt
mount --make-rshared /
# Only what a service needs: no service of the machine below starts in this one.
rm -rf /etc/systemd/system /etc/credstore /etc/credstore.encrypted
mkdir -p /etc/systemd/system
printf '[Unit]\nRequires=sysinit.target dbus.socket\nAfter=sysinit.target dbus.socket\nAllowIsolate=yes\n' \
    > /etc/systemd/system/machine.target
for unit in systemd-modules-load systemd-sysctl systemd-udevd systemd-resolved systemd-networkd; do
    ln -sf /dev/null "/etc/systemd/system/$unit.service"
done
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=machine.target --log-target=null --show-status=0
"""


class CannotBoot(Exception):  # noqa: N818 - a condition of the world
    """This machine cannot start another one in itself; the text says why."""


class Machine:
    """Another machine in this one; use it in ``with``."""

    def __init__(self, directory: Path, wheels: Path) -> None:
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if os.geteuid() != 0 or missing:
            raise CannotBoot(f"it takes root and: {', '.join(missing) or 'nothing else'}")
        self._directory = directory
        self._wheels = wheels
        self._name = f"speechaid-test-{os.getpid()}"
        unified = (CGROUPS / "cgroup.controllers").exists()
        self._layout = "unified" if unified else "hybrid"
        tops = [CGROUPS] if unified else [CGROUPS / "systemd", CGROUPS / "unified"]
        self._groups = [top / self._name for top in tops]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            for group in self._groups:
                group.mkdir()
        except OSError as exc:
            raise CannotBoot(f"no cgroup of its own: {exc}") from exc
        # The shell joins the cgroups first, so that they are the whole tree that the machine sees.
        joined = "".join(f"echo $$ > {group}/cgroup.procs; " for group in self._groups)
        unshare = "exec unshare --fork --kill-child=KILL --pid --mount --uts --ipc --cgroup"
        boot = f'{joined}{unshare} /bin/sh -c "$0" boot "$@"'
        packages = sysconfig.get_paths()["purelib"]
        places = map(str, (self._directory, ROOT, packages, self._wheels))
        with (self._directory.parent / "boot.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", boot, BOOT, *places, self._layout],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + BOOT_SECONDS
        while self.run("systemctl is-active --quiet machine.target").returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._directory.parent / "boot.log").read_text(errors="replace")
                self.__exit__()
                raise CannotBoot(f"it did not come up: {said}")
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()  # and with it, by the kernel, everything in its namespace
            self._process.wait()
        for group in self._groups:
            remove_tree(group)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell's script inside, as root, in the checkout."""
        entry = [
            f"--target={self._init()}",
            *("--mount", "--pid", "--uts", "--ipc", "--cgroup", "--wdns=/opt/checkout"),
        ]
        variables = ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"]
        return subprocess.run(
            ["nsenter", *entry, "/usr/bin/env", "-i", *variables, "/bin/sh", "-euc", script],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    def say(self, script: str) -> str:
        """Run it, see that it went well, and return what it said."""
        done = self.run(script)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def _init(self) -> int:
        """The process that is number 1 inside, a child of ours; 0 before there is one."""
        assert self._process is not None
        pid = self._process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            children = []
        return int(children[0]) if children else 0


def remove_tree(group: Path) -> None:
    """Remove a cgroup and those below it, as soon as the last process has left each."""
    deadline = time.monotonic() + BOOT_SECONDS
    while group.exists() and time.monotonic() < deadline:
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
        time.sleep(0.05)


def system_python() -> str:
    """An interpreter that a sandboxed service can reach too, of the version that the packages are for.

    Raises:
        CannotBoot: there is none.
    """
    name = f"python3.{sys.version_info.minor}"
    mine = str(Path(sys.executable).resolve())
    for path in (mine, f"/usr/local/bin/{name}", f"/usr/bin/{name}"):
        if Path(path).exists() and not path.startswith(("/home/", "/root/", "/tmp/", "/run/")):
            return path
    raise CannotBoot(f"no {name} that a service could reach")
