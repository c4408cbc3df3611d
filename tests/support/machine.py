"""A machine made of namespaces, booted by systemd: this host's files with an overlay in memory.

The host is not changed: files are in the overlay, processes and cgroups end with the machine. The network
is shared, so that a simulator on loopback can be reached, unless the machine gets one of its own, which has
loopback alone. Needs root and an installed systemd.

Inside, ``/opt/sources`` is installed from, ``/opt/packages`` has the packages that it needs, and ``python3``
is the Python of this process, so that nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Self

from speechaid import __version__
from tests.support.fleet_harness import ROOT

BOOT_SECONDS = 60.0
CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = ("--fork", "--pid", "--mount", "--uts", "--ipc", "--cgroup")
TOOLS = ("unshare", "nsenter", "mount", "pivot_root", "/lib/systemd/systemd", "systemctl")

#: Run in new namespaces with: directory, sources, packages, Python's prefix, Python, unified or hybrid.
BOOT = r"""
set -eu
base=$1 sources=$2 packages=$3 prefix=$4 python=$5 cgroups=$6
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
    mkdir "$root/sys/fs/cgroup/unified" "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/memory"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o memory cgroup "$root/sys/fs/cgroup/memory"
    mount -o remount,ro "$root/sys/fs/cgroup"
fi
mount -t tmpfs -o mode=755 tmpfs "$root/run"
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
mkdir -p "$root/opt/sources" "$root/opt/packages" "$root/opt/python"
mount --bind "$sources" "$root/opt/sources"
mount --bind "$packages" "$root/opt/packages"
mount -o remount,bind,ro "$root/opt/packages"
mount --bind "$prefix" "$root/opt/python"
mount -o remount,bind,ro "$root/opt/python"
# A new virtualenv has the packages from the start, pip included: nothing is downloaded.
cat > "$root/usr/local/bin/python3" <<END
#!/bin/sh
case "\$*" in
"-m venv "*)
    $python -m venv --without-pip "\$3"
    echo /opt/packages > "\$(echo "\$3"/lib/python3*/site-packages)/packages.pth"
    printf '#!/bin/sh\nexec %s/bin/python -m pip "\$@"\n' "\$3" > "\$3/bin/pip"
    chmod 755 "\$3/bin/pip" ;;
*) exec $python "\$@" ;;
esac
END
chmod 755 "$root/usr/local/bin/python3"
# A Python below a home directory links to its library there, where a service has no access.
echo /opt/python/lib > "$root/etc/ld.so.conf.d/00-python.conf"
cd "$root"
pivot_root . mnt
umount -l /mnt
mount --make-rshared /
# Only what a service needs: no service of the host starts in the machine.
rm -rf /etc/systemd/system /etc/credstore /etc/credstore.encrypted
rm -rf /opt/speechaid* /etc/speechaid /var/lib/speechaid /var/backups/speechaid
mkdir -p /etc/systemd/system
ldconfig
cat > /etc/systemd/system/machine.target <<END
[Unit]
Requires=sysinit.target
Wants=dbus.socket
After=sysinit.target dbus.socket
AllowIsolate=yes
END
for unit in systemd-modules-load systemd-sysctl systemd-udevd systemd-resolved systemd-networkd; do
    ln -sf /dev/null "/etc/systemd/system/$unit.service"
done
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=machine.target --log-target=journal --show-status=0
"""


def unpacked_sdist(directory: Path) -> Path:
    """This checkout as a release would bring it, unpacked in ``directory/now``."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (packed,) = directory.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", str(packed), "-C", str(directory)], check=True)
    return (directory / packed.name.removesuffix(".tar.gz")).rename(directory / "now")


def next_version(sources: Path, version: str) -> Path:
    """The same sources in ``next`` beside them, under another version's number."""
    following = sources.with_name("next")
    shutil.copytree(sources, following)
    named = following / "speechaid" / "__init__.py"
    named.write_text(named.read_text().replace(__version__, version))
    return following


class CannotBoot(Exception):  # noqa: N818 - a condition, not a mistake
    """This host cannot start such a machine; the text says why."""


class Machine:
    """A machine in this host; a context manager.

    Raises:
        CannotBoot: privileges or tools are missing; any other failure is a bug.
    """

    def __init__(self, directory: Path, sources: Path, *, own_network: bool = False) -> None:
        self._namespaces = (*NAMESPACES, "--net") if own_network else NAMESPACES
        self._directory = directory
        self._sources = sources
        self._log = directory.parent / "boot.log"
        self._name = f"speechaid-test-{os.getpid()}"
        unified = (CGROUPS / "cgroup.controllers").exists()
        self._layout = "unified" if unified else "hybrid"
        tops = [CGROUPS] if unified else [CGROUPS / name for name in ("systemd", "unified", "memory")]
        self._groups = [top / self._name for top in tops]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._check_requirements()
        # The shell joins the cgroups first, so that they are the root of the tree in the machine.
        joined = "".join(f"echo $$ > {group}/cgroup.procs; " for group in self._groups)
        unshare = f"exec unshare {' '.join(self._namespaces)} --kill-child=KILL"
        boot = f'{joined}{unshare} /bin/sh -c "$0" boot "$@"'
        packages = sysconfig.get_paths()["purelib"]
        prefix, python = reachable_python()
        places = [str(self._directory), str(self._sources), packages, prefix, python, self._layout]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", boot, BOOT, *places],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + BOOT_SECONDS
        while self.run("systemctl is-active --quiet machine.target").returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"it did not boot: {self._log.read_text(errors='replace')}")
            time.sleep(0.2)
        return self

    def _check_requirements(self) -> None:
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if os.geteuid() != 0 or missing:
            raise CannotBoot(f"a machine in this host needs root and: {', '.join(missing) or 'nothing else'}")
        tried = subprocess.run(
            ["unshare", *self._namespaces, "true"], capture_output=True, text=True, check=False
        )
        if tried.returncode != 0:
            raise CannotBoot(f"no namespaces on this host: {tried.stderr.strip()}")
        try:
            for group in self._groups:
                group.mkdir()
        except OSError as exc:
            raise CannotBoot(f"no new cgroup on this host: {exc}") from exc

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()  # the kernel kills everything in its namespace
            self._process.wait()
        for group in self._groups:
            remove_tree(group)

    def run(self, script: str, *, at: str = "/opt/sources") -> subprocess.CompletedProcess[str]:
        """Run a shell script inside, as root, in this directory."""
        return subprocess.run(
            self._command(script, at), capture_output=True, text=True, timeout=150, check=False
        )

    def _command(self, script: str, at: str) -> list[str]:
        spaces = [space for space in self._namespaces if space != "--fork"]
        entry = [f"--target={self._init()}", *spaces, f"--wdns={at}"]
        variables = ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"]
        # Nothing is downloaded: a package that pip needs is there, or it is an error.
        variables += ["PIP_NO_INDEX=1", "PIP_NO_BUILD_ISOLATION=0"]
        variables += ["PIP_ROOT_USER_ACTION=ignore", "PIP_DISABLE_PIP_VERSION_CHECK=1"]
        return ["nsenter", *entry, "/usr/bin/env", "-i", *variables, "/bin/sh", "-euc", script]

    def type(self, script: str, answers: dict[str, str], *, at: str = "/opt/sources") -> str:
        """Run it at a terminal, and answer each prompt when it appears; all that the terminal showed."""
        terminal, inside = os.openpty()
        # A prompt for a password opens /dev/tty, and so wants a terminal that controls its session.
        command = ["setsid", "--ctty", "--wait", *self._command(script, at)]
        process = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside)
        os.close(inside)
        shown, waiting = "", list(answers.items())
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if waiting and waiting[0][0] in shown:
                os.write(terminal, f"{waiting.pop(0)[1]}\n".encode())
            if select.select([terminal], [], [], 1.0)[0]:
                try:
                    shown += os.read(terminal, 65_536).decode(errors="replace")
                except OSError:  # the end, as a terminal tells it
                    break
        os.close(terminal)
        assert (process.wait(BOOT_SECONDS), waiting) == (0, []), shown
        return shown

    def say(self, script: str, *, at: str = "/opt/sources") -> str:
        """Run a script that must succeed; its output."""
        done = self.run(script, at=at)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def _init(self) -> int:
        """The pid, outside, of the machine's process 1; 0 before there is one."""
        assert self._process is not None
        pid = self._process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            children = []
        return int(children[0]) if children else 0


def remove_tree(group: Path) -> None:
    """Remove a cgroup and those below it, once they have no processes."""
    deadline = time.monotonic() + BOOT_SECONDS
    while group.exists() and time.monotonic() < deadline:
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
        time.sleep(0.05)


def reachable_python() -> tuple[str, str]:
    """This Python's prefix, and its path for a sandboxed service inside: not below a home directory."""
    real = Path(sys.executable).resolve()
    hidden = str(real).startswith(("/home/", "/root/", "/tmp/", "/run/"))
    inside = Path("/opt/python") / real.relative_to(sys.base_prefix) if hidden else real
    return sys.base_prefix, str(inside)
