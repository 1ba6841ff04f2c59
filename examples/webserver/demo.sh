#!/bin/sh
# The demonstration: a web server with holes, first free, then under web.snp.
# Needs root, snappyc and webd in /usr/bin, and a kernel that can enforce.
set -eu
policy=${1:-/usr/share/snappy/web.snp}

mkdir -p /srv/www /var/log/webd
page() { echo "Welcome to the demonstration" > /srv/www/page.txt; }
[ -e /etc/shadow ] || { echo 'root:*:19000:0:99999:7:::' > /etc/shadow; chmod 600 /etc/shadow; made_shadow=1; }

echo
echo "== $(uname -sr): can it enforce?"
snappyc doctor

echo
echo "== the policy"
cat "$policy"
snappyc check "$policy"
snappyc compile -o /tmp/web.bpf.o "$policy"
ls -l /tmp/web.bpf.o

echo
echo "== without the policy: every hole is open"
page
domainname=$(cat /proc/sys/kernel/domainname)
webd serve & server=$!
webd probe free
kill $server; wait $server 2>/dev/null || true
echo "$domainname" > /proc/sys/kernel/domainname

echo
echo "== under the policy: the same visits; the kernel's reports follow"
page
code=0
snappyc run --policy "$policy" -- /usr/bin/webd serve 2> /tmp/reports & server=$!
webd probe confined
wait $server || code=$?
cat /tmp/reports
echo
echo "the server ended with code $code (137 = SIGKILL, as the policy's kill rule wants)"
[ $code = 137 ]

echo
echo "== the page is unharmed, and nothing is left in the kernel"
cat /srv/www/page.txt
[ "$(cat /srv/www/page.txt)" = "Welcome to the demonstration" ]
[ ! -e /sys/fs/bpf/snappy ] || { ls -R /sys/fs/bpf/snappy; exit 1; }
[ -z "${made_shadow:-}" ] || rm -f /etc/shadow

# Each denial names its rule.
for rule in secrets tampering; do grep -q "web.snp:[0-9]* ($rule)" /tmp/reports; done
[ "$(grep -c '^snappy: denied\|^snappy: killed' /tmp/reports)" -ge 7 ]
echo "demonstration passed"
