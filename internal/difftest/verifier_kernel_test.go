//go:build kernel

package difftest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/internal/kerneltest"
	"github.com/snappy-policy/snappy/internal/progen"
)

// objects is how many random policies the verifier has to accept.
const objects = 300

// TestVerifierAcceptsEverything: what type-checks, loads.
func TestVerifierAcceptsEverything(t *testing.T) {
	run := seed(t)
	h := kerneltest.Open(t)
	start := time.Now()
	accepted := 0
	for i := range uint64(objects) {
		text := progen.Policy(rand.New(rand.NewPCG(run, 1<<32+i)), progen.Default(), progen.Options{Rules: 3, Kill: true})
		p, err := h.Load(text)
		if err != nil {
			t.Errorf("policy %d: %+v\n%s", i, err, text)
			continue
		}
		accepted++
		require.NoError(t, p.Loaded.Close())
		if i%25 == 24 {
			require.NoError(t, h.Manager.Collect())
		}
	}
	t.Logf("%d of %d random policies accepted, %.0f s", accepted, objects, time.Since(start).Seconds())
	require.Equal(t, objects, accepted)
}
