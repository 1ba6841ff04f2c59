package vmtest

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed kernels.lock
var lockFile string

// Lock is one line of kernels.lock: the exact kernel package that an alias
// stands for.
type Lock struct {
	Alias   string // e.g. "6.12"
	Meta    string // package that always depends on the newest build
	Package string
	Version string
	SHA256  string // of the .deb, lower-case hexadecimal
	Image   string // path of the kernel inside the package, without leading slash
}

// parseLock reads kernels.lock. Every alias must be unique.
func parseLock(text string) ([]Lock, error) {
	var locks []Lock
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 6 {
			return nil, fmt.Errorf("kernels.lock:%d: %d fields, want 6", n, len(f))
		}
		l := Lock{f[0], f[1], f[2], f[3], f[4], f[5]}
		if sum, err := hex.DecodeString(l.SHA256); err != nil || len(sum) != 32 || l.SHA256 != strings.ToLower(l.SHA256) {
			return nil, fmt.Errorf("kernels.lock:%d: %q is no sha256", n, l.SHA256)
		}
		if path.Clean("/"+l.Image) != "/"+l.Image {
			return nil, fmt.Errorf("kernels.lock:%d: bad path %q", n, l.Image)
		}
		if slices.ContainsFunc(locks, func(o Lock) bool { return o.Alias == l.Alias }) {
			return nil, fmt.Errorf("kernels.lock:%d: second entry for %s", n, l.Alias)
		}
		locks = append(locks, l)
	}
	return locks, nil
}

// Kernels lists the aliases of kernels.lock.
func Kernels() []string {
	locks, err := parseLock(lockFile)
	if err != nil {
		panic(err) // embedded, and a test parses it
	}
	var names []string
	for _, l := range locks {
		names = append(names, l.Alias)
	}
	return names
}

// findLock returns the entry of an alias.
func findLock(alias string) (Lock, error) {
	locks, err := parseLock(lockFile)
	if err != nil {
		return Lock{}, err
	}
	for _, l := range locks {
		if l.Alias == alias {
			return l, nil
		}
	}
	return Lock{}, fmt.Errorf("unknown kernel %q; known: %s", alias, strings.Join(Kernels(), ", "))
}
