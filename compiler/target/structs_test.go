package target

import (
	"testing"

	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/stretchr/testify/require"
)

func TestStructs(t *testing.T) {
	byName := map[string]object.Struct{}
	for _, s := range Structs() {
		require.NotContains(t, byName, s.Name)
		byName[s.Name] = s
	}
	for _, s := range hook.Structs() {
		require.Len(t, byName[s.Name].Members, len(s.Members), s.Name)
		for i, m := range s.Members {
			require.Equal(t, m.Name, byName[s.Name].Members[i].Name)
		}
	}
	// What is embedded is described.
	for _, s := range byName {
		for _, m := range s.Members {
			if m.Type.Kind == object.KindStruct {
				require.Contains(t, byName, m.Type.Name, s.Name)
			}
		}
	}
	require.Equal(t, object.ArrayOf(object.Uint(1), 16), fieldType("char[16]"))
	require.Equal(t, object.Sint(4), fieldType("s32"))
	require.Equal(t, object.PointerTo(""), fieldType("ptr:void"))
	require.Equal(t, object.PointerTo("file"), fieldType("ptr:file"))
	for _, bad := range []string{"", "u", "float", "char[16", "u32x", "ptr:", "struct:"} {
		require.Panics(t, func() { fieldType(bad) }, bad)
	}
}
