//go:build kernel

// Package clean tests that a run that fails leaves nothing in the kernel.
package clean

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/runtime/loader"
	"github.com/snappy-policy/snappy/runtime/namespace"
)

//vmtest:build ../../cmd/snappyc /bin/snappyc
//vmtest:timeout 5m

// state is everything that a run could leave behind.
type state struct {
	Programs, Maps, Links []uint32
	Pins                  []string
	Objects               []string // archived for the names of rules
}

func ids[T ~uint32](t *testing.T, next func(T) (T, error)) (all []uint32) {
	for id := T(0); ; {
		var err error
		if id, err = next(id); errors.Is(err, os.ErrNotExist) {
			return all
		}
		require.NoError(t, err)
		all = append(all, uint32(id))
	}
}

func files(t *testing.T, root string) (all []string) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if path != root {
			all = append(all, path)
		}
		return err
	})
	require.NoError(t, err)
	return all
}

func observe(t *testing.T) state {
	return state{
		Programs: ids(t, ebpf.ProgramGetNextID), Maps: ids(t, ebpf.MapGetNextID), Links: ids(t, linkNextID),
		Pins: files(t, "/sys/fs/bpf"), Objects: files(t, namespace.DefaultStateDir+"/policies"),
	}
}

// linkNextID walks over the links by an iterator of the library.
func linkNextID(id link.ID) (link.ID, error) {
	it := new(link.Iterator)
	defer it.Close()
	it.ID = id
	if !it.Next() {
		if err := it.Err(); err != nil {
			return 0, err
		}
		return 0, os.ErrNotExist
	}
	return it.ID, nil
}

// unchanged waits until the kernel has freed what was given up. What was there
// before may go, as an earlier test's does.
func unchanged(t *testing.T, before state) {
	t.Helper()
	var left []string
	for range 100 {
		// A collection that cannot be loaded leaves its copies of the maps that it
		// was given to their finalizers (cilium/ebpf).
		runtime.GC()
		if left = added(before, observe(t)); len(left) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	require.Empty(t, left)
}

func added(before, now state) (out []string) {
	for _, c := range []struct {
		what        string
		before, now []uint32
	}{{"program", before.Programs, now.Programs}, {"map", before.Maps, now.Maps}, {"link", before.Links, now.Links}} {
		for _, id := range c.now {
			if !slices.Contains(c.before, id) {
				out = append(out, fmt.Sprintf("%s %d", c.what, id))
			}
		}
	}
	for _, c := range [][2][]string{{before.Pins, now.Pins}, {before.Objects, now.Objects}} {
		for _, name := range c[1] {
			if !slices.Contains(c[0], name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// write makes policy files and gives their names.
func write(t *testing.T, texts ...string) (names []string) {
	dir := t.TempDir()
	for i, text := range texts {
		name := filepath.Join(dir, fmt.Sprintf("%d.snp", i))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
		names = append(names, name)
	}
	return names
}

const (
	good   = "policy good\ndeny file.open when path == \"/nowhere\"\ndeny file.change when path under \"/nowhere\"\n"
	noExec = "policy noexec\ndeny exec when path under \"/bin\"\n"
	bad    = "policy bad\ndeny file.open when nonsense == 1\n"
)

// TestFailedRunLeavesNothing: whatever fails, no namespace, pin, program, link
// or map stays.
func TestFailedRunLeavesNothing(t *testing.T) {
	before := observe(t)
	require.Empty(t, before.Pins)
	for _, c := range []struct {
		name     string
		policies []string
		command  []string
		code     int
		says     string
	}{
		{"unknown command", []string{good}, []string{"no-such-command"}, 127, "no-such-command"},
		{"unknown path", []string{good}, []string{"/no/such/command"}, 127, "/no/such/command"},
		{"no program", []string{good}, []string{"/etc/passwd"}, 126, "/etc/passwd"},
		{"denied exec", []string{good, noExec}, []string{"/bin/snappyc", "version"}, 126, "denied exec"},
		{"second policy with an error", []string{good, bad}, []string{"/bin/snappyc", "version"}, 125, "nonsense"},
		{"missing policy", []string{good, ""}, []string{"/bin/snappyc", "version"}, 125, ""},
		{"command fails", []string{good}, []string{"/bin/snappyc", "no-such-command"}, 2, ""},
		{"command succeeds", []string{good}, []string{"/bin/snappyc", "version"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"run"}
			for _, name := range write(t, c.policies...) {
				args = append(args, "--policy", name)
			}
			if c.name == "missing policy" {
				require.NoError(t, os.Remove(args[len(args)-1]))
			}
			cmd := exec.Command("/bin/snappyc", append(append(args, "--"), c.command...)...)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil {
				require.ErrorAs(t, err, &exit)
			}
			require.Equal(t, c.code, cmd.ProcessState.ExitCode(), "%s", out)
			require.Contains(t, string(out), c.says)
			unchanged(t, before)
		})
	}
}

// TestRefusedProgramLeavesNothing: a program that the verifier refuses, behind
// others that it takes, leaves none of them.
func TestRefusedProgramLeavesNothing(t *testing.T) {
	before := observe(t)
	r, list := compiler.Compile(fstest.MapFS{"p.snp": {Data: []byte(good)}}, "p.snp", compiler.Options{})
	require.False(t, list.HasErrors())
	broken := *r.File
	broken.Programs = append([]object.Program(nil), broken.Programs...)
	last := &broken.Programs[len(broken.Programs)-1]
	// r0 = *(u64 *)(r9 + 0): a register that nothing has set.
	code := append([]object.Insn{{Op: object.ClassLDX | object.ModeMEM | object.SizeDW, Dst: 0, Src: 9, Line: last.Code[0].Line}}, last.Code...)
	last.Code = code
	data, err := object.Write(&broken)
	require.NoError(t, err)
	require.False(t, bytes.Equal(data, r.Object))

	m, err := namespace.Open(namespace.Options{})
	require.NoError(t, err)
	obj, err := loader.Read(data)
	require.NoError(t, err)
	_, err = m.Load(obj)
	var refused *loader.VerifierError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, last.Hook, refused.Hook)
	policies, err := m.Policies()
	require.NoError(t, err)
	require.Empty(t, policies)

	// A good one is loaded and given up behind it.
	obj, err = loader.Read(r.Object)
	require.NoError(t, err)
	p, err := m.Load(obj)
	require.NoError(t, err)
	space, err := m.Create(nil, p)
	require.NoError(t, err)
	require.NoError(t, errors.Join(space.Close(), p.Close(), m.Collect()))
	unchanged(t, before)
}
