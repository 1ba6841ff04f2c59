#!/bin/sh
# host.sh BIN: runs demo.sh on this host, with snappyc and webd of the folder BIN,
# in a mount, network and host name namespace of its own: what it writes and the
# ports it serves are not the host's. Needs root. Ends with 75 if that cannot be
# arranged here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$1" && pwd)
if [ -z "${SNAPPY_DEMO_INSIDE:-}" ]; then
	unshare -m -u -n true 2>/dev/null || exit 75
	SNAPPY_DEMO_INSIDE=1 exec unshare -m -u -n /bin/sh "$0" "$bin"
fi

arrange() {
	mount -t tmpfs tmpfs /mnt &&
		mkdir /mnt/upper /mnt/work &&
		cp "$bin/snappyc" "$bin/webd" /mnt/upper/ &&
		cp "$here/web.snp" "$here/demo.sh" /mnt/ &&
		mount -t overlay -o lowerdir=/usr/bin,upperdir=/mnt/upper,workdir=/mnt/work overlay /usr/bin || return
	if [ -e /etc/shadow ]; then
		echo 'root:*:19000:0:99999:7:::' >/mnt/shadow &&
			mount -o bind /mnt/shadow /etc/shadow || return
	fi
	for folder in /srv /var/log /run /tmp; do
		mkdir -p $folder && mount -t tmpfs tmpfs $folder || return
	done
	mount -t bpf bpf /sys/fs/bpf || return
	ip link set lo up 2>/dev/null || busybox ip link set lo up
}
arrange || exit 75
cd /
exec /bin/sh /mnt/demo.sh /mnt/web.snp
