package types_test

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	_ "golang.org/x/sys/unix" // its source is what the numbers are checked against

	"github.com/snappy-policy/snappy/lang/types"
)

// unixConstants reads the integer constants of golang.org/x/sys/unix for linux
// on an architecture, from source: so both architectures are checked on either.
// Those of type Errno come apart.
func unixConstants(t *testing.T, arch string) (consts, errnos map[string]int64) {
	t.Helper()
	pkg, err := build.Import("golang.org/x/sys/unix", ".", build.FindOnly)
	require.NoError(t, err)
	consts, errnos = map[string]int64{}, map[string]int64{}
	for _, name := range []string{"zerrors_linux.go", "zerrors_linux_" + arch + ".go"} {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, name), nil, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			e, into := spec.Values[0], consts
			if call, ok := e.(*ast.CallExpr); ok && len(call.Args) == 1 { // syscall.Errno(0x2)
				e = call.Args[0]
				if fun, ok := call.Fun.(*ast.SelectorExpr); ok && fun.Sel.Name == "Errno" {
					into = errnos
				}
			}
			if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.INT {
				v, err := strconv.ParseInt(lit.Value, 0, 64)
				if err == nil {
					into[spec.Names[0].Name] = v
				}
			}
			return true
		})
	}
	require.Greater(t, len(consts), 2000)
	return consts, errnos
}

// Each table has the kernel's numbers and leaves no name out.
func TestNumbersAgreeWithTheKernels(t *testing.T) {
	// Names of the same prefix that are no values of the enum.
	leftOut := map[string][]string{
		types.EnumCap: {"CAP_LAST_CAP"},
		types.EnumSockType: {"SOCK_BUF_LOCK_MASK", "SOCK_CLOEXEC", "SOCK_DESTROY", "SOCK_DIAG_BY_FAMILY", "SOCK_IOC_TYPE",
			"SOCK_NONBLOCK", "SOCK_RCVBUF_LOCK", "SOCK_SNDBUF_LOCK", "SOCK_TXREHASH_DEFAULT", "SOCK_TXREHASH_DISABLED", "SOCK_TXREHASH_ENABLED"},
		types.EnumFamily: {"AF_MAX", "AF_DECnet"}, // the latter is AF_DECNET here
		types.EnumOpen:   {"O_FSYNC", "O_RSYNC"},  // other names of O_SYNC
		types.EnumProt:   {"PROT_BTI", "PROT_GROWSDOWN", "PROT_GROWSUP", "PROT_MTE", "PROT_NONE"},
		"errno":          {"EFSBADCRC", "EFSCORRUPTED", "EFTYPE"}, // names inside filesystems; 134 is younger than 6.12
	}
	prefix := map[string]string{types.EnumCap: "CAP_", types.EnumSignal: "SIG", types.EnumFamily: "AF_", types.EnumSockType: "SOCK_",
		types.EnumProtocol: "IPPROTO_", types.EnumOpen: "O_", types.EnumProt: "PROT_", "errno": "E"}
	for _, arch := range []string{types.AMD64, types.ARM64} {
		consts, errnos := unixConstants(t, arch)
		s, err := types.LanguageFor(arch)
		require.NoError(t, err)
		for name, want := range prefix {
			e, from := s.Enum(name), consts
			if name == "errno" {
				e, from = s.Errnos, errnos
			}
			expect := map[string]int64{}
			for c, v := range from {
				if !strings.HasPrefix(c, want) || slices.Contains(leftOut[name], c) || name == types.EnumSignal && (v < 1 || v > 31 || strings.Contains(c, "_")) {
					continue
				}
				expect[c] = v
			}
			got := map[string]int64{}
			for _, v := range e.Values {
				got[v.Name] = v.Value
			}
			switch name {
			case types.EnumFamily:
				require.Equal(t, consts["AF_DECnet"], got["AF_DECNET"])
				delete(got, "AF_DECNET")
			case types.EnumOpen: // the C library's view of a 64-bit system; the kernel sets the bit
				require.Zero(t, expect["O_LARGEFILE"])
				delete(got, "O_LARGEFILE")
				delete(expect, "O_LARGEFILE")
				require.Len(t, got, 21)
			}
			require.Equal(t, expect, got, "%s on %s: %v", name, arch, slices.Sorted(maps.Keys(expect)))
		}
		largeFile, _ := s.Enum(types.EnumOpen).Lookup("O_LARGEFILE")
		require.Equal(t, map[string]int64{types.AMD64: 0o100000, types.ARM64: 0o400000}[arch], largeFile)
		for _, m := range s.Enum(types.EnumPtrace).Values {
			require.Equal(t, map[string]int64{"read": 1, "attach": 2}[m.Name], m.Value)
		}
	}
}
