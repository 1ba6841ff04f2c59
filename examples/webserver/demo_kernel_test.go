//go:build kernel

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

//vmtest:build . /demo/bin/webd
//vmtest:build ../../cmd/snappyc /demo/bin/snappyc
//vmtest:file demo.sh /demo/demo.sh
//vmtest:file host.sh /demo/host.sh
//vmtest:file web.snp /demo/web.snp
//vmtest:busybox
//vmtest:module overlay
//vmtest:timeout 240s

// transcript runs the demonstration and returns what it prints.
func transcript(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	return string(out)
}

// TestHost: on a host, the demonstration leaves the host alone.
func TestHost(t *testing.T) {
	for _, dir := range []string{"/srv", "/mnt", "/usr/bin", "/var/log"} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	require.NoError(t, os.MkdirAll("/etc", 0o755))
	require.NoError(t, os.WriteFile("/etc/shadow", []byte("the host's own\n"), 0o600))
	defer os.Remove("/etc/shadow")
	out := transcript(t, "/bin/sh", "/demo/host.sh", "/demo/bin")
	require.Contains(t, out, "  path traversal: read /etc/shadow           worked: root:*")
	require.Contains(t, out, "  path traversal: read /etc/shadow           failed: ENOENT\n")
	require.NotContains(t, out, "the host's own")
	require.Contains(t, out, "\ndemonstration passed\n")
	for _, file := range []string{"/srv/www", "/var/log/webd", "/usr/bin/webd", "/run/snappy", "/sys/fs/bpf/snappy", "/mnt/web.snp"} {
		_, err := os.Stat(file)
		require.ErrorIs(t, err, os.ErrNotExist, file)
	}
	text, err := os.ReadFile("/etc/shadow")
	require.NoError(t, err)
	require.Equal(t, "the host's own\n", string(text))
}

// TestMachine: so it runs where there is nothing to spare, as in a virtual machine.
func TestMachine(t *testing.T) {
	require.NoError(t, os.MkdirAll("/usr/bin", 0o755))
	for _, name := range []string{"snappyc", "webd"} {
		program, err := os.ReadFile("/demo/bin/" + name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("/usr/bin/"+name, program, 0o755))
		defer os.Remove("/usr/bin/" + name)
	}
	out := transcript(t, "/bin/sh", "/demo/demo.sh", "/demo/web.snp")
	require.Contains(t, out, "\ndemonstration passed\n")
	_, err := os.Stat("/etc/shadow")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestSurprise: whatever goes another way than it should fails the demonstration.
func TestSurprise(t *testing.T) {
	for _, dir := range []string{"/srv", "/mnt", "/usr/bin", "/var/log"} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	policy, err := os.ReadFile("/demo/web.snp")
	require.NoError(t, err)
	for name, change := range map[string][2]string{
		"a hole in the policy":   {"default deny for exec, ", "default deny for "},
		"too strict":             {"8000..8099", "80"},
		"a policy with an error": {"default allow", "default alow"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(string(policy), change[0], change[1], 1)
			require.NotEqual(t, string(policy), changed)
			require.NoError(t, os.WriteFile("/demo/web.snp", []byte(changed), 0o644))
			defer func() { require.NoError(t, os.WriteFile("/demo/web.snp", policy, 0o644)) }()
			out, err := exec.Command("/bin/sh", "/demo/host.sh", "/demo/bin").CombinedOutput()
			require.Error(t, err, "%s", out)
			require.Contains(t, string(out), "THE DEMONSTRATION FAILED")
			require.NotContains(t, string(out), "demonstration passed")
		})
	}
}
