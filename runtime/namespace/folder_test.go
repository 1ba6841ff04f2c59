package namespace

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPolicyFolder(t *testing.T) {
	p := &Policy{ID: 0x1234, Slot: 7, Digest: [32]byte{1, 2, 0xff}}
	name := p.folder()
	require.NotContains(t, name, ".", "bpffs reserves names with dots")
	got, err := parseFolder(name)
	require.NoError(t, err)
	require.Equal(t, p, got)
	p.ID, p.Slot = 1<<63, 4095
	got, err = parseFolder(p.folder())
	require.NoError(t, err)
	require.Equal(t, p, got)
	for _, bad := range []string{
		"", "x", "tmp_" + name, name + "0", name[:len(name)-1], strings.ToUpper(name), " " + name[1:],
		"0000" + name[4:], "4096" + name[4:], "-001" + name[4:], name[:22] + "zz" + name[24:],
	} {
		_, err := parseFolder(bad)
		require.ErrorIs(t, err, ErrBroken, bad)
	}
}
