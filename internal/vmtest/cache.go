package vmtest

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// cache is the folder that keeps kernels and init between runs.
type cache struct{ dir string }

func openCache() (*cache, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	c := &cache{filepath.Join(base, "snappy")}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *cache) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

// fill makes the folder c.path(elem...) by calling make with a temporary one,
// which then is renamed: it exists completely or not at all. It is made once,
// also when several processes want it.
func (c *cache) fill(ctx context.Context, make func(dir string) error, elem ...string) (string, error) {
	final := c.path(elem...)
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	unlock, err := lockHost(ctx, c.path("cache.lock"), nil)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(final), ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	if err := make(tmp); err != nil {
		return "", err
	}
	return final, os.Rename(tmp, final)
}

//go:embed init/*.go guest/*.go
var initSources embed.FS

// guestInit builds the guest's init from the embedded sources and returns its
// path. Being embedded, they are those of this very program, wherever it runs.
func (c *cache) guestInit(ctx context.Context) (string, error) {
	sources, err := embeddedSources()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n", runtime.Version())
	for _, s := range sources {
		fmt.Fprintf(sum, "%s %d\n%s", s.name, len(s.data), s.data)
	}
	dir, err := c.fill(ctx, func(dir string) error {
		return buildInit(ctx, sources, filepath.Join(dir, "init"))
	}, "init", hex.EncodeToString(sum.Sum(nil)))
	return filepath.Join(dir, "init"), err
}

type sourceFile struct {
	name string
	data []byte
}

func embeddedSources() ([]sourceFile, error) {
	var sources []sourceFile
	err := fs.WalkDir(initSources, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") {
			return err
		}
		data, err := initSources.ReadFile(name)
		sources = append(sources, sourceFile{name, data})
		return err
	})
	return sources, err
}

func buildInit(ctx context.Context, sources []sourceFile, out string) (err error) {
	const module = "github.com/snappy-policy/snappy"
	dir, err := os.MkdirTemp("", "snappy-init-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sources = append(sources, sourceFile{"../../go.mod", []byte("module " + module + "\n\ngo 1.26\n")})
	for _, s := range sources {
		name := filepath.Join(dir, "internal", "vmtest", filepath.FromSlash(s.name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, s.data, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, "./internal/vmtest/init")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "PWD="+dir)
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the guest's init: %w\n%s", err, msg)
	}
	return nil
}
