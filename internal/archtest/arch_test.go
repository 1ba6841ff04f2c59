// Package archtest keeps the import graph: which package may import which, as
// a table. Change the table first, with the reason, then the code.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/snappy-policy/snappy/"

// allowed: for each package, the packages of the project that it may import
// (tests excepted). A trailing /… allows the whole subtree. Packages that are
// absent here must not exist.
var allowed = map[string][]string{
	"lang/source": {},
	"lang/diag":   {"lang/source"},
	"lang/ast":    {"lang/source"},
	"lang/glob":   {}, // the meaning of globs, for the checker and the evaluator; compiler/match has its own
	"lang/parser": {"lang/source", "lang/diag", "lang/ast"},
	"lang/format": {"lang/source", "lang/ast"},
	"lang/types":  {},
	"lang/load":   {"lang/source", "lang/diag", "lang/ast", "lang/parser"},
	"lang/check":  {"lang/source", "lang/diag", "lang/ast", "lang/types", "lang/glob", "lang/load"},
	"lang/eval":   {"lang/source", "lang/types", "lang/check", "lang/ast", "lang/glob"},

	"kernel/abi":   {},
	"kernel/hook":  {"kernel/abi"},
	"kernel/core":  {"kernel/abi", "kernel/hook"},
	"kernel/probe": {"kernel/abi", "kernel/hook", "kernel/core"},

	"compiler/match":   {},
	"compiler/object":  {"kernel/abi"},
	"compiler/emit":    {"compiler/object"}, // the one assembler, for codegen and rt
	"compiler/ir":      {"lang/source", "compiler/match"},
	"compiler/target":  {"lang/types", "kernel/abi", "kernel/hook", "compiler/object"},
	"compiler/lower":   {"lang/…", "compiler/ir", "compiler/target", "compiler/match", "compiler/opt", "kernel/hook"},
	"compiler/opt":     {"lang/source", "compiler/ir", "compiler/match", "compiler/target"},
	"compiler/rt":      {"compiler/emit", "compiler/ir", "compiler/match", "compiler/object", "kernel/abi", "kernel/hook"}, // routines of compiled policies
	"compiler/codegen": {"lang/source", "compiler/ir", "compiler/target", "compiler/emit", "compiler/rt", "compiler/object", "kernel/abi", "kernel/hook"},
	"compiler":         {"lang/…", "compiler/…", "kernel/abi", "kernel/hook"},

	"runtime/loader":    {"compiler/object", "kernel/abi", "kernel/hook", "kernel/probe"},
	"runtime/namespace": {"runtime/loader", "compiler/object", "kernel/abi", "kernel/core", "kernel/hook", "kernel/probe"},
	"runtime/audit":     {"compiler/object", "kernel/abi", "kernel/hook"}, // hook names the numeric fields of events

	"cmd/snappyc": {"…"},
	"":            {},
}

// owners: third-party packages that only these packages may import.
var owners = map[string][]string{
	"github.com/alecthomas/participle": {"lang/parser"},
	"github.com/cilium/ebpf/asm":       {"compiler/codegen", "compiler/object", "kernel/core", "kernel/probe", "runtime/loader"},
	"github.com/spf13/cobra":           {"cmd/snappyc"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) (out []pkg) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	text, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go list: %s", exit.Stderr)
	}
	require.NoError(t, err)
	d := json.NewDecoder(strings.NewReader(string(text)))
	for {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		out = append(out, p)
	}
}

func permits(list []string, name string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		if tree, ok := strings.CutSuffix(a, "…"); ok {
			return strings.HasPrefix(name, tree)
		}
		return a == name
	})
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name, ours := strings.CutPrefix(p.ImportPath+"/", module)
		name = strings.TrimSuffix(name, "/")
		if !ours {
			continue
		}
		if strings.HasPrefix(name, "internal/") || strings.HasPrefix(name, "tools/") || strings.HasPrefix(name, "examples/") {
			continue // tests, tools and examples may use everything
		}
		list, known := allowed[name]
		require.True(t, known, "package %s is not in the table", name)
		for _, imp := range p.Imports {
			if sub, ok := strings.CutPrefix(imp, module); ok {
				require.True(t, permits(list, sub), "%s must not import %s", name, sub)
				continue
			}
			for dep, who := range owners {
				if imp == dep || strings.HasPrefix(imp, dep+"/") {
					require.True(t, slices.Contains(who, name), "%s must not import %s: it belongs to %v", name, imp, who)
				}
			}
		}
	}
}

// lang and kernel never meet but in compiler/target and above.
func TestTableKeepsLangAndKernelApart(t *testing.T) {
	for name, list := range allowed {
		for _, imp := range list {
			require.False(t, strings.HasPrefix(name, "lang/") && strings.HasPrefix(imp, "kernel/"), name)
			require.False(t, strings.HasPrefix(name, "kernel/") && strings.HasPrefix(imp, "lang/"), name)
			require.False(t, strings.HasPrefix(name, "runtime/") && strings.HasPrefix(imp, "lang/"), name)
		}
	}
}
