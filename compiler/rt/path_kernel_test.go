//go:build kernel

package rt

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// pathHooks are the hooks with paths.
func pathHooks() []string {
	var out []string
	for _, h := range hook.Hooks() {
		if len(reported(h)) > 0 {
			out = append(out, h.Name)
		}
	}
	return out
}

func loadPaths(t *testing.T, cfg config, hooks ...string) *results {
	var progs []object.Program
	var funcs [][]object.Func
	for _, h := range hooks {
		d := textDriver(t, h)
		progs = append(progs, d.program(t))
		funcs = append(funcs, d.funcs)
	}
	coll := load(t, file(t, cfg, nil, progs, funcs...))
	attach(t, coll)
	return newResults(t, coll)
}

func TestPathsOfAllHooks(t *testing.T) {
	r := loadPaths(t, kernelConfig(t), pathHooks()...)
	dir := t.TempDir()
	os.WriteFile(dir+"/a", nil, 0o600)
	os.Mkdir(dir+"/d", 0o700)
	os.Rename(dir+"/a", dir+"/d/b")
	os.Link(dir+"/d/b", dir+"/l")
	os.Symlink("target", dir+"/s")
	os.Chmod(dir+"/l", 0o644)
	os.Truncate(dir+"/l", 10)
	os.Remove(dir + "/l")
	for _, res := range r.all() {
		fmt.Println(hook.Hooks()[res.hook].Name, res.show(0), res.show(1), res.values)
	}
	require.NotNil(t, r)
}
