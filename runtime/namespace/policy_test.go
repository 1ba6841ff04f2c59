//go:build kernel

package namespace

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/probe"
	"github.com/snappy-policy/snappy/runtime/loader"
)

// programs are hand-written policies, by hook.
type programs map[string]asm.Instructions

// policy makes an object of hand-written programs. Its identity is its name.
func policy(name string, progs programs) *loader.Object {
	o := &loader.Object{
		Digest: sha256.Sum256([]byte(name)),
		Spec:   &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{}, Maps: map[string]*ebpf.MapSpec{}},
	}
	hooks := make([]string, 0, len(progs))
	for h := range progs {
		hooks = append(hooks, h)
	}
	slices.Sort(hooks)
	for i, h := range hooks {
		o.Spec.Programs["p_"+h] = &ebpf.ProgramSpec{Name: "p_" + h, Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac,
			AttachTo: h, License: "GPL", Instructions: progs[h]}
		o.Needs = append(o.Needs, loader.Need{Hook: h, Rules: []string{fmt.Sprintf("%s.snp:%d:1", name, i+1)}})
	}
	return o
}

// verdict returns a constant.
func verdict(errno syscall.Errno) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, -int32(errno)), asm.Return()}
}

// onFile returns -errno for one file, else 0. The argument of the hook is a
// struct file, or way leads to one: {"linux_binprm", "file"}.
func onFile(t *testing.T, path string, errno syscall.Errno, way ...string) asm.Instructions {
	t.Helper()
	in, err := fileProgram(path, errno, way...)
	require.NoError(t, err)
	return in
}

func fileProgram(path string, errno syscall.Errno, way ...string) (asm.Instructions, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	in := asm.Instructions{asm.LoadMem(asm.R1, asm.R1, 0, asm.DWord)}
	for _, step := range [][]string{way, {"file", "f_inode"}, {"inode", "i_ino"}} {
		if len(step) == 0 {
			continue
		}
		off, err := member(step[0], step[1])
		if err != nil {
			return nil, err
		}
		in = append(in, asm.LoadMem(asm.R1, asm.R1, off, asm.DWord))
	}
	return append(in,
		asm.LoadImm(asm.R2, int64(st.Sys().(*syscall.Stat_t).Ino), asm.DWord),
		asm.Mov.Imm(asm.R0, 0),
		asm.JNE.Reg(asm.R1, asm.R2, "out"),
		asm.Mov.Imm(asm.R0, -int32(errno)),
		asm.Return().WithSymbol("out")), nil
}

func member(structure, name string) (int16, error) {
	types, err := probe.Types().Kernel()
	if err != nil {
		return 0, err
	}
	var s *btf.Struct
	if err := types.TypeByName(structure, &s); err != nil {
		return 0, err
	}
	for _, m := range s.Members {
		if m.Name == name {
			return int16(m.Offset.Bytes()), nil
		}
	}
	return 0, fmt.Errorf("struct %s has no member %s", structure, name)
}

// file makes a file for tests to open.
func file(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(name), 0o644))
	return path
}

// open opens a manager with folders of its own, and checks at the end that
// nothing is left of it once everything is closed and collected.
func open(t *testing.T) *Manager {
	t.Helper()
	return openWith(t, nil)
}

func openWith(t *testing.T, fault func(string) error) *Manager {
	t.Helper()
	before := inventory(t)
	opts := Options{PinDir: "/sys/fs/bpf/" + strings.NewReplacer("/", "_", " ", "_").Replace(t.Name()), StateDir: t.TempDir(), fault: fault}
	m, err := Open(opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		m.fault = func(string) error { return nil }
		require.NoError(t, m.Collect())
		requireInventory(t, before)
	})
	return m
}

// kept closes policies and namespaces at the end of the test.
func load(t *testing.T, m *Manager, o *loader.Object) *Policy {
	t.Helper()
	p, err := m.Load(o)
	require.NoError(t, err, "%+v", err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func create(t *testing.T, m *Manager, parent *Namespace, policies ...*Policy) *Namespace {
	t.Helper()
	n, err := m.Create(parent, policies...)
	require.NoError(t, err, "%+v", err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

// inventory lists everything in the kernel that a manager could leave behind.
func inventory(t *testing.T) []string {
	t.Helper()
	var all []string
	for id := ebpf.ProgramID(0); ; {
		var err error
		if id, err = ebpf.ProgramGetNextID(id); err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
			break
		}
		all = append(all, fmt.Sprintf("program %d", id))
	}
	for id := ebpf.MapID(0); ; {
		var err error
		if id, err = ebpf.MapGetNextID(id); err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
			break
		}
		all = append(all, fmt.Sprintf("map %d", id))
	}
	links := new(link.Iterator)
	for links.Next() {
		all = append(all, fmt.Sprintf("link %d", links.ID))
	}
	require.NoError(t, links.Err())
	links.Close()
	require.NoError(t, filepath.WalkDir("/sys/fs/bpf", func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	return all
}

// requireInventory waits, since the kernel frees in the background.
func requireInventory(t *testing.T, want []string) {
	t.Helper()
	var got []string
	for range 100 {
		if got = inventory(t); slices.Equal(got, want) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, name := range got {
		if !slices.Contains(want, name) && strings.HasPrefix(name, "program ") {
			var id ebpf.ProgramID
			fmt.Sscanf(name, "program %d", &id)
			if p, err := ebpf.NewProgramFromID(id); err == nil {
				t.Log(name, p)
				p.Close()
			}
		}
	}
	require.Equal(t, want, got, "left behind")
}

var errInjected = errors.New("injected fault")

func itoa(n int) string { return strconv.Itoa(n) }

// newEvents reads the core's ring buffer.
func newEvents(t *testing.T, m *Manager) func() abi.Event {
	t.Helper()
	events, err := m.Map(abi.MapEvents)
	require.NoError(t, err)
	r, err := ringbuf.NewReader(events)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close(); events.Close() })
	return func() abi.Event {
		t.Helper()
		r.SetDeadline(time.Now().Add(5 * time.Second))
		record, err := r.Read()
		require.NoError(t, err)
		var e abi.Event
		raw := make([]byte, abi.EventMax)
		copy(raw, record.RawSample)
		require.NoError(t, binary.Read(bytes.NewReader(raw), binary.LittleEndian, &e))
		require.Len(t, record.RawSample, int(e.Size))
		return e
	}
}
