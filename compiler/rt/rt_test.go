package rt

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/kernel/hook"
)

func TestReportBuilds(t *testing.T) {
	for _, h := range hook.Hooks() {
		_, err := Report(h, 3)
		require.NoError(t, err, h.Name)
	}
}
