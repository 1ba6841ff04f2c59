//go:build !kernel

package object

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"
)

// large is a policy of n rules: per rule a source line, an entry of the rule
// table and ten instructions, spread over subprograms, and a table of 1 KiB.
func large(n int) *File {
	f := sample()
	f.Tables[0].Data = make([]byte, n<<10)
	var source strings.Builder
	f.Meta.Rules = nil
	var code []Insn
	for i := range n {
		text := fmt.Sprintf("deny file.open as rule%d when path under \"/srv/data/%d/some/longer/path\"", i, i)
		fmt.Fprintln(&source, text)
		line := Line{Line: uint32(i + 1), Col: 1, Text: text}
		f.Meta.Rules = append(f.Meta.Rules, Rule{
			ID: uint32(i), Verb: "deny", Name: fmt.Sprint("rule", i), Ops: []string{"file.open"}, Line: line.Line, Col: 1, Text: text,
		})
		for range 5 {
			code = append(code, Insn{Op: ClassALU64 | OpMov, Dst: 0, Imm: int64(i), Line: line},
				Insn{Op: ClassLDX | ModeMEM | SizeDW, Dst: 1, Src: 7, Core: &CoreField{Kind: FieldOffset, Struct: "task_struct", Path: []string{"cred"}}})
		}
		if i%1000 == 999 || i == n-1 {
			f.Subprograms = append(f.Subprograms, Func{
				Name: fmt.Sprint("part", i), Linkage: btf.StaticFunc, Return: intType(4, true), Code: append(code, exit()),
			})
			code = nil
		}
	}
	f.Meta.Sources = []Source{{Name: "large.snp", Text: source.String()}}
	f.Meta.Digest = SourceDigest(f.Meta.Sources)
	return f
}

func BenchmarkWrite(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n, "rules"), func(b *testing.B) {
			f := large(n)
			b.ReportAllocs()
			for b.Loop() {
				raw, err := Write(f)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(raw)))
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	raw, err := Write(large(10000))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(bytes.NewReader(raw)); err != nil {
			b.Fatal(err)
		}
	}
}

// TestWriteConcurrently: one File may be written, and share its types with
// others, from several goroutines; the race detector is the judge.
func TestWriteConcurrently(t *testing.T) {
	f := sample()
	want, err := Write(f)
	require.NoError(t, err)
	var wg sync.WaitGroup
	got := make([][]byte, 4)
	for i := range got {
		wg.Go(func() { got[i], _ = Write(f) })
	}
	wg.Wait()
	for _, g := range got {
		require.Equal(t, want, g)
	}
}
