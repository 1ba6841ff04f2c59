//go:build kernel

package vmtest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
)

// offsetOf returns the byte offset of a member of a kernel structure.
func offsetOf(t *testing.T, kernel *btf.Spec, structure, member string) int16 {
	t.Helper()
	var s *btf.Struct
	require.NoError(t, kernel.TypeByName(structure, &s))
	for _, m := range s.Members {
		if m.Name == member {
			require.Zero(t, m.Offset%8)
			return int16(m.Offset / 8)
		}
	}
	require.FailNow(t, "no such member", "%s.%s", structure, member)
	return 0
}

// denyOpen returns a program for file_open that denies process pid the inode
// number ino:
//
//	if (bpf_get_current_pid_tgid() >> 32 == pid && file->f_inode->i_ino == ino)
//		return -EACCES;
//	return 0;
func denyOpen(t *testing.T, pid int, ino uint64) *ebpf.ProgramSpec {
	kernel, err := btf.LoadKernelSpec()
	require.NoError(t, err)
	return &ebpf.ProgramSpec{
		Name: "deny_open", Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: "file_open", License: "GPL",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R6, asm.R1, 0, asm.DWord),
			asm.FnGetCurrentPidTgid.Call(),
			asm.RSh.Imm(asm.R0, 32),
			asm.JNE.Imm(asm.R0, int32(pid), "allow"),
			asm.LoadMem(asm.R6, asm.R6, offsetOf(t, kernel, "file", "f_inode"), asm.DWord),
			asm.LoadMem(asm.R6, asm.R6, offsetOf(t, kernel, "inode", "i_ino"), asm.DWord),
			asm.LoadImm(asm.R2, int64(ino), asm.DWord),
			asm.JNE.Reg(asm.R6, asm.R2, "allow"),
			asm.Mov.Imm(asm.R0, -int32(syscall.EACCES)),
			asm.Return(),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("allow"),
			asm.Return(),
		},
	}
}

func TestLSMDeniesOpen(t *testing.T) {
	dir := t.TempDir()
	secret, other := filepath.Join(dir, "secret"), filepath.Join(dir, "other")
	require.NoError(t, os.WriteFile(secret, []byte("s"), 0o600))
	require.NoError(t, os.WriteFile(other, []byte("o"), 0o600))
	var st syscall.Stat_t
	require.NoError(t, syscall.Stat(secret, &st))

	prog, err := ebpf.NewProgram(denyOpen(t, os.Getpid(), st.Ino))
	require.NoError(t, err)
	defer prog.Close()
	_, err = os.ReadFile(secret)
	require.NoError(t, err, "before the program is attached")

	l, err := link.AttachLSM(link.LSMOptions{Program: prog})
	require.NoError(t, err)
	_, err = os.ReadFile(secret)
	require.ErrorIs(t, err, syscall.EACCES)
	_, err = os.ReadFile(other)
	require.NoError(t, err, "another file")

	require.NoError(t, l.Close())
	got, err := os.ReadFile(secret)
	require.NoError(t, err, "after the program is detached")
	require.Equal(t, "s", string(got))
}

// The rig must boot the kernel that was asked for: a test that passes on the
// wrong one says nothing.
func TestKernelIsTheOneAskedFor(t *testing.T) {
	var u syscall.Utsname
	require.NoError(t, syscall.Uname(&u))
	var release strings.Builder
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		release.WriteByte(byte(c))
	}
	alias := os.Getenv("SNAPPY_KERNEL")
	require.NotEmpty(t, alias)
	require.True(t, strings.HasPrefix(release.String(), alias+"."), "%s is not a %s kernel", &release, alias)
}

func TestGuestIsASystem(t *testing.T) {
	require.Equal(t, 1, os.Getppid())
	for _, f := range []string{"/proc/self/status", "/sys/fs/bpf", "/sys/fs/cgroup/cgroup.procs", "/sys/kernel/btf/vmlinux", "/dev/null", "/dev/pts", "/etc/passwd", "/tmp", "/run"} {
		_, err := os.Stat(f)
		require.NoError(t, err)
	}
	lsm, err := os.ReadFile("/sys/kernel/security/lsm")
	require.NoError(t, err)
	require.Contains(t, strings.Split(string(lsm), ","), "bpf", fmt.Sprintf("lsm=%s", lsm))
	data, err := os.ReadFile("testdata/hello.txt")
	require.NoError(t, err)
	require.Equal(t, "testdata travels\n", string(data))
}
