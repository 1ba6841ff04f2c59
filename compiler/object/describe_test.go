package object

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDisassembleAndDescribe(t *testing.T) {
	file, err := Write(sample())
	require.NoError(t, err)
	text, err := Disassemble(file)
	require.NoError(t, err)
	require.Contains(t, text, "lsm/")
	require.Contains(t, text, "  ; ")
	require.Contains(t, text, "Exit")
	text, err = Describe(file)
	require.NoError(t, err)
	for _, want := range []string{"policy ", "program ", "map ", "section .BTF.ext", "rule "} {
		require.Contains(t, text, want)
	}
	for _, bad := range [][]byte{nil, []byte("\x7fELF"), file[:len(file)/2]} {
		_, err := Disassemble(bad)
		require.Error(t, err)
		_, err = Describe(bad)
		require.Error(t, err)
	}
}
