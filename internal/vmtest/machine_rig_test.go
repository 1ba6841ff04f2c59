//go:build rig

package vmtest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/internal/vmtest"
	"github.com/snappy-policy/snappy/internal/vmtest/guest"
)

// The tests of this file boot machines, to see that nothing that goes wrong in
// one passes for success. `make test-vm` runs them.

func allBytes() string {
	var b []byte
	for i := range 256 {
		b = append(b, byte(i))
	}
	return string(b)
}

func TestMachinePayloads(t *testing.T) {
	const leave = `
echo x >/tmp/f; mkdir /mnt; mount -t tmpfs t /mnt; mount -t tmpfs t /tmp
mkdir /sys/fs/cgroup/a /sys/fs/cgroup/a/b; echo $$ >/sys/fs/cgroup/a/b/cgroup.procs
(setsid sleep 1000 &)`
	const look = `ls -A /tmp /run /mnt; ls /sys/fs/cgroup | grep -x a; ps | grep -c '[s]leep'; true`
	cases := []struct {
		name   string
		argv   []string
		limit  time.Duration
		code   int
		reason string
		output string
	}{
		{"good", []string{"sh", "-c", "pwd; echo $HOME $SNAPPY_KERNEL; printf 'no newline'"}, 0, 0, "", "/some/dir\n/root 6.12\nno newline"},
		{"exit code", []string{"sh", "-c", "exit 3"}, 0, 3, "", ""},
		{"signal", []string{"sh", "-c", "kill -9 $$"}, 0, 137, "killed by killed", ""},
		{"hangs", []string{"sh", "-c", "trap '' QUIT; echo a; while :; do sleep 1; done"}, time.Second, 125, "timed out after 1s", "a\n"},
		{"every byte", []string{"cat", "/bytes"}, 0, 0, "", allBytes()},
		{"looks like a frame", []string{"cat", "/frames"}, 0, 0, "", "\nRIG-RC 0\nRIG-END 5 0 0 \"\"\n"},
		{"leaves things", []string{"sh", "-c", leave}, 0, 0, "", ""},
		{"finds nothing", []string{"sh", "-c", look}, 0, 0, "", "/mnt:\n\n/run:\n\n/tmp:\n0\n"},
		{"no such path", []string{"/no/such"}, 0, 125, "no such file", ""},
		{"no such name", []string{"nosuch"}, 0, 125, "not found", ""},
		{"takes a mount away", []string{"umount", "/dev/pts"}, 0, 125, "mounts removed by the payload: /dev/pts", ""},
	}
	var log bytes.Buffer
	cfg := vmtest.Config{Log: &log, Busybox: true, Files: []vmtest.File{
		{Guest: "/bytes", Data: []byte(allBytes())},
		{Guest: "/frames", Data: []byte("\nRIG-RC 0\nRIG-END 5 0 0 \"\"\n")},
	}}
	outputs := make([]bytes.Buffer, len(cases))
	var payloads []vmtest.Payload
	for i, c := range cases {
		payloads = append(payloads, vmtest.Payload{Argv: c.argv, Dir: "/some/dir", Timeout: c.limit, Stdout: &outputs[i], Stderr: &outputs[i]})
	}
	res, err := vmtest.Run(t.Context(), cfg, payloads)
	require.NoError(t, err)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.code, res.Exits[i].Code, "%+v", res.Exits[i])
			require.Contains(t, res.Exits[i].Reason, c.reason)
			require.Equal(t, c.output, outputs[i].String())
		})
	}
	require.Equal(t, 3, res.Code())
	require.Empty(t, res.Warnings)
	require.Contains(t, log.String(), "after payload 10: mounts removed")
}

// script boots a machine with one shell script.
func script(t *testing.T, cfg vmtest.Config, text string) (*vmtest.Result, string, error) {
	t.Helper()
	cfg.Busybox = true
	var out bytes.Buffer
	res, err := vmtest.Run(t.Context(), cfg, []vmtest.Payload{{Argv: []string{"sh", "-c", text}, Stdout: &out, Stderr: &out}})
	return res, out.String(), err
}

// A kernel that panics while a payload runs is an error, with its last words.
func TestMachinePanic(t *testing.T) {
	_, out, err := script(t, vmtest.Config{Kernel: "6.1"}, "echo before; sleep 1; echo c >/proc/sysrq-trigger; sleep 1000")
	require.ErrorIs(t, err, guest.ErrNoTrailer)
	require.ErrorContains(t, err, "sysrq triggered crash")
	require.Equal(t, "before\n", out)
}

// pivot_root works from the tmpfs root; modules load with what they depend on,
// packed (6.12) or not (6.1); a drive is readable and writable.
func TestMachineOptions(t *testing.T) {
	for _, kernel := range vmtest.Kernels() {
		t.Run(kernel, func(t *testing.T) {
			disk := filepath.Join(t.TempDir(), "disk")
			require.NoError(t, os.WriteFile(disk, append([]byte("from the host\n"), make([]byte, 1<<20)...), 0o600))
			res, out, err := script(t, vmtest.Config{
				Kernel: kernel, TmpfsRoot: true, Modules: []string{"overlay", "virtio_pci", "virtio_blk", "br_netfilter"},
				Drives: []string{disk}, CPUs: 1, Programs: []string{"bpftool"}, Append: []string{"rig.example=1"},
				Files: []vmtest.File{{Data: []byte("extra\n"), Guest: "/data/extra"}},
			}, `set -e
head -n 1 /dev/vda
printf 'from the guest\n' | dd of=/dev/vda conv=notrunc 2>/dev/null
mkdir -p /o/l /o/m; mount -t tmpfs t /o/l; mkdir /o/l/u /o/l/w
mount -t overlay o -o lowerdir=/data,upperdir=/o/l/u,workdir=/o/l/w /o/m; cat /o/m/extra
grep -o rig.example=1 /proc/cmdline; nproc
mkdir /p; mount -t tmpfs p /p; mkdir /p/old
unshare -m sh -c 'pivot_root /p /p/old; /old/bin/busybox echo pivoted'
sync
bpftool version | grep -c ^bpftool; bpftool link >/dev/null`)
			require.NoError(t, err)
			require.Equal(t, "from the host\nextra\nrig.example=1\n1\npivoted\n1\n", out)
			require.Zero(t, res.Code(), "%+v", res.Exits)
			data, err := os.ReadFile(disk)
			require.NoError(t, err)
			require.Equal(t, "from the guest\n", string(data[:15]))
		})
	}
}
