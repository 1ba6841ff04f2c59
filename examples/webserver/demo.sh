#!/bin/sh
# The demonstration: a web server with holes, first free, then under web.snp.
# Needs root, snappyc and webd in /usr/bin, and a kernel that can enforce. It
# writes to /srv, /var/log, /tmp and the kernel's domain name: host.sh gives it
# ones of its own. It ends with 0 only if everything went as it should.
set -eu
policy=${1:-/usr/share/snappy/web.snp}
rules=$(basename "$policy")
work=$(mktemp -d)
server=

ended() {
	code=$?
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	if [ $code != 0 ]; then
		echo
		echo "THE DEMONSTRATION FAILED (code $code). The kernel reported:"
		cat "$work/reports" 2>/dev/null || true
	fi
	[ -z "${made_shadow:-}" ] || rm -f /etc/shadow
	rm -rf "$work"
}
trap ended EXIT

part() { echo; echo "== $*"; }
page() { rm -f /srv/www/*.txt; echo "Welcome to the demonstration" >/srv/www/page.txt; }
fail() { echo "$*"; exit 1; }

mkdir -p /srv/www /var/log/webd
[ -e /etc/shadow ] || { made_shadow=1; echo 'root:*:19000:0:99999:7:::' >/etc/shadow; chmod 600 /etc/shadow; }

part "$(uname -sr): can it enforce?"
snappyc doctor >"$work/doctor" || { cat "$work/doctor"; exit 1; }
tail -n 1 "$work/doctor"

part "the policy"
cat "$policy"
snappyc check "$policy"
snappyc compile -o "$work/web.bpf.o" "$policy"
echo
echo "compiled: $(wc -c <"$work/web.bpf.o") bytes of eBPF object"

part "without the policy: every hole is open"
page
domainname=$(cat /proc/sys/kernel/domainname)
webd serve & server=$!
webd probe free
kill $server
wait $server || true
server=
echo "$domainname" >/proc/sys/kernel/domainname

part "under the policy: the same visits"
page
code=0
snappyc run --policy "$policy" -- /usr/bin/webd serve 2>"$work/reports" & server=$!
webd probe confined
wait $server || code=$?
server=

part "what the kernel reported meanwhile"
cat "$work/reports"
echo
echo "the server ended with code $code: 128 + SIGKILL, as the policy's kill rule wants"
[ $code = 137 ] || fail "the server should have been killed"
for want in "denied file.open /etc/shadow by .*$rules:[0-9]* (secrets) " "denied exec /[^ ]* by .*$rules:[0-9]* default " \
	"denied file.[a-z]* /srv/www/page.txt by .*$rules:[0-9]* default " "denied file.rename /srv/www/page.txt -> /srv/www/gone.txt by .*$rules:[0-9]* default " \
	"denied net.connect .*port=22 by .*$rules:[0-9]* default " "denied net.bind .*port=4444 by .*$rules:[0-9]* default " \
	"killed file.[a-z]* /proc/sys/kernel/domainname by .*$rules:[0-9]* (tampering) "; do
	grep -q "^snappy: $want" "$work/reports" || fail "nothing says: $want"
done

part "afterwards"
cat /srv/www/page.txt
[ "$(cat /srv/www/page.txt)" = "Welcome to the demonstration" ] || fail "the page was defaced"
[ "$(cat /proc/sys/kernel/domainname)" = "$domainname" ] || fail "the kernel was tuned"
[ ! -e /sys/fs/bpf/snappy ] || fail "something is left in the kernel: $(ls -R /sys/fs/bpf/snappy)"
echo "The page is unharmed, and nothing is left in the kernel."
echo
echo "demonstration passed"
