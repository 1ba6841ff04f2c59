//go:build kernel

package namespace

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/core"
)

func init() {
	commands["leave"] = func(args []string) string { // delete the caller's record
		m, err := ebpf.LoadPinnedMap(args[1], nil)
		if err != nil {
			return answer(err)
		}
		defer m.Close()
		self, err := unix.PidfdOpen(os.Getpid(), 0)
		if err != nil {
			return answer(err)
		}
		defer unix.Close(self)
		return answer(m.Delete(uint32(self)))
	}
	commands["bpf"] = func([]string) string { // any call, with nothing to do
		_, err := bpf(0, unsafe.Pointer(new([16]uint64)), 128)
		return answer(err)
	}
	commands["unlink"] = func(args []string) string { return answer(unix.Unlink(args[1])) }
	commands["rmdir"] = func(args []string) string { return answer(unix.Rmdir(args[1])) }
	commands["rename"] = func(args []string) string { return answer(unix.Rename(args[1], args[2])) }
	commands["symlink"] = func(args []string) string { return answer(unix.Symlink("x", args[1])) }
	commands["umount"] = func(args []string) string { return answer(unix.Unmount(args[1], unix.MNT_DETACH)) }
}

// TestMembersCannotLeave: what holds a member of a namespace there is out of its
// reach, even with all privileges and a policy that says nothing about it. Others
// can do what they could.
func TestMembersCannotLeave(t *testing.T) {
	m := open(t)
	target := file(t, "target")
	n := create(t, m, nil, load(t, m, policy("deny", programs{"file_open": onFile(t, target, unix.EACCES)})))
	other := "/sys/fs/bpf/other"
	require.NoError(t, os.Mkdir(other, 0o700))
	defer os.Remove(other)
	plain := t.TempDir()
	second := filepath.Join(t.TempDir(), "bpf")
	require.NoError(t, os.Mkdir(second, 0o700))
	require.NoError(t, unix.Mount("bpf", second, "bpf", 0, ""))
	defer func() { _ = unix.Unmount(second, unix.MNT_DETACH) }()

	confined, free := newChild(t, n.Start), newChild(t, (*exec.Cmd).Start)
	commands := []string{
		"leave " + m.path(mapsDir, abi.MapTasks),
		"leave " + m.path(mapsDir, core.MapControl),
		"bpf",
		"unlink " + m.path(hooksDir, "file_open", "link"),
		"unlink " + m.path(linksDir, "snp_fork"),
		"rename " + m.path(hooksDir, "file_open") + " " + m.path(hooksDir, temporary+"file_open"),
		"mkdir " + m.path(policiesDir, "nonsense"),
		"symlink " + m.path(policiesDir, "nonsense"),
		"rmdir " + other,
		"umount " + second,
	}
	for _, c := range commands {
		require.Equal(t, eperm, confined.do("%s", c), c)
		require.Equal(t, eperm, confined.do("fork %s", c), c)
	}
	require.Equal(t, eacces, confined.do("open %s", target))

	// Elsewhere members change names as they like.
	for _, c := range []string{"mkdir d", "symlink s", "rename s r", "unlink r", "rmdir d"} {
		words := strings.Fields(c)
		for i := range words[1:] {
			words[i+1] = filepath.Join(plain, words[i+1])
		}
		require.Equal(t, "ok", confined.do("%s", strings.Join(words, " ")), c)
	}
	require.NotEqual(t, eperm, free.do("bpf"))
	require.Equal(t, "ok", free.do("mkdir %s", filepath.Join(other, "d")))
	require.Equal(t, "ok", free.do("rmdir %s", filepath.Join(other, "d")))
	require.Equal(t, "ok", free.do("umount %s", second))
}
