package target

import (
	"testing"

	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/types"
	"github.com/stretchr/testify/require"
)

// The schema and the hook table agree; New itself holds the comparison.
func TestTablesAgree(t *testing.T) {
	tgt, err := New(types.Language(), hook.Hooks())
	require.NoError(t, err)
	open := tgt.Schema.Operation("file.open")
	require.Len(t, tgt.HooksOf(open), 1)
	require.Equal(t, "file_open", tgt.HooksOf(open)[0].Name)
	require.Len(t, tgt.HooksOf(tgt.Schema.Operation("file.truncate")), 2)
	h := tgt.Hook("file_open")
	require.Equal(t, types.Path, h.Field("path").Type.Kind)
	require.True(t, h.Field("f_mode").Internal)
	require.Nil(t, h.Field("nothing"))
	require.Nil(t, tgt.Hook("nothing"))
}

// Each disagreement is found and named.
func TestDisagreements(t *testing.T) {
	find := func(hooks []*hook.Hook, name string) *hook.Hook {
		for _, h := range hooks {
			if h.Name == name {
				return h
			}
		}
		return nil
	}
	for _, c := range []struct {
		name, want string
		change     func([]*hook.Hook)
	}{
		{"field gone", "does not read path", func(hs []*hook.Hook) { find(hs, "path_mkdir").Fields = find(hs, "path_mkdir").Fields[1:] }},
		{"kind", "is path in the schema, string in the kernel", func(hs []*hook.Hook) { find(hs, "path_mkdir").Fields[0].Read = hook.Comm{} }},
		{"foreign field", "the schema has no field colour", func(hs []*hook.Hook) {
			h := find(hs, "capable")
			h.Fields = append(h.Fields, hook.Field{Name: "colour", Read: hook.Scalar{}})
		}},
		{"refused operation", "which the schema refuses", func(hs []*hook.Hook) { find(hs, "capable").Instances[0].Op = "kernel.bpf" }},
		{"unknown operation", "no operation zap", func(hs []*hook.Hook) { find(hs, "capable").Instances[0].Op = "zap" }},
		{"guard", "guard over colour", func(hs []*hook.Hook) {
			find(hs, "capable").Skip = []hook.Guard{{Field: "colour", Values: []int64{1}}}
		}},
		{"no hook", "operation file.mkdir has no hook", func(hs []*hook.Hook) { find(hs, "path_mkdir").Instances = nil }},
		{"event argument", "event argument path", func(hs []*hook.Hook) { find(hs, "path_mkdir").EventArgs = []string{"path"} }},
		{"number", "at place", func(hs []*hook.Hook) { hs[1].Number = 7 }},
		{"unresolvable", "disagree whether port", func(hs []*hook.Hook) {
			fs := find(hs, "socket_bind").Fields
			fs[len(fs)-1].Read = hook.Computed{Name: hook.ComputedSockPort}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			hooks := hook.Hooks()
			c.change(hooks)
			_, err := New(types.Language(), hooks)
			require.ErrorContains(t, err, c.want)
		})
	}
}
