//go:build kernel

//vmtest:busybox
//vmtest:build . /bin/embed

package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEmbed(t *testing.T) {
	require.NoError(t, os.WriteFile("/etc/shadow", []byte("root:*:::::::\n"), 0o600))
	free, err := exec.Command("/bin/cat", "/etc/shadow").CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "root:*:::::::\n", string(free))

	out, err := exec.Command("/bin/embed", "/bin/cat", "/etc/shadow").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "No such file or directory")
	require.Contains(t, string(out), "ended: exit status 1")
	require.Regexp(t, `(?m)^denied file.open /etc/shadow by policy.snp:3 \(secrets\) pid \d+ cat$`, string(out))

	program, err := os.ReadFile("/bin/busybox")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("/tmp/true", program, 0o755))
	require.NoError(t, exec.Command("/tmp/true").Run())
	out, err = exec.Command("/bin/embed", "/tmp/true").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "not started: fork/exec /tmp/true: permission denied")
	require.Regexp(t, `(?m)^denied exec /tmp/true by policy.snp:4 \(no-downloads\) pid \d+ `, string(out))

	out, err = exec.Command("/bin/embed", "/bin/echo", "free").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "free\n", string(out))
	require.NoDirExists(t, "/sys/fs/bpf/snappy")
}
