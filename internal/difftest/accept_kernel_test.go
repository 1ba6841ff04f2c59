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

// accepted is the number of random policies that the kernel must take.
const accepted = 300

// TestVerifierAccepts: whatever the language accepts, the kernel does.
func TestVerifierAccepts(t *testing.T) {
	start := time.Now()
	run := seed(t)
	h := kerneltest.Open(t)
	good, programs := 0, 0
	var compiling, loading time.Duration
	for i := range uint64(accepted) {
		text := progen.Policy(rand.New(rand.NewPCG(run, i)), progen.Default(), progen.Options{Rules: 2 + int(i%2), Kill: true})
		begin := time.Now()
		p, err := kerneltest.Compile(text)
		require.NoError(t, err)
		compiling += time.Since(begin)
		begin = time.Now()
		err = h.Add(p)
		loading += time.Since(begin)
		if err != nil {
			t.Errorf("policy %d: %v\n%s", i, err, text)
			continue
		}
		good++
		programs += len(p.Loaded.Hooks)
		require.NoError(t, p.Loaded.Close())
	}
	t.Logf("%d of %d objects accepted, %d programs; %.0fs, of them %.0fs for compiling, %.0fs for loading",
		good, accepted, programs, time.Since(start).Seconds(), compiling.Seconds(), loading.Seconds())
	require.Equal(t, accepted, good)
}
