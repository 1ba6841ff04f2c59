package vmtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kernel is a kernel package in the cache.
type Kernel struct {
	Alias   string // the name asked for
	Package string
	Version string
	SHA256  string // of the .deb
	Image   string // host path of the kernel
	// Drifted says that this is not the build of kernels.lock.
	Drifted bool
	dir     string
}

// Release is the kernel's own version string, as uname -r prints it.
func (k *Kernel) Release() string {
	return strings.TrimPrefix(filepath.Base(k.Image), "vmlinuz-")
}

// apt runs one of the package tools in dir and returns its standard output.
// Tests replace it.
type apt func(ctx context.Context, dir, name string, args ...string) (string, error)

func runApt(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return stdout.String(), nil
}

// kernel returns the kernel of an alias, from the cache or else from the
// package archive.
func (c *cache) kernel(ctx context.Context, alias string, log io.Writer) (*Kernel, error) {
	lock, err := findLock(alias)
	if err != nil {
		return nil, err
	}
	f := fetcher{cache: c, run: runApt, log: log}
	k, err := f.fetch(ctx, lock)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", alias, err)
	}
	return k, nil
}

// fetcher gets kernel packages out of the archive.
type fetcher struct {
	cache *cache
	run   apt
	log   io.Writer
}

// fetch returns the locked build, or what the meta package names when the
// archive no longer has it.
func (f *fetcher) fetch(ctx context.Context, l Lock) (*Kernel, error) {
	dir, err := f.cache.fill(ctx, func(dir string) error {
		return f.fetchInto(ctx, l, dir)
	}, "kernels", l.SHA256)
	if err != nil {
		return nil, err
	}
	k, err := openKernel(dir, l.Alias)
	if err != nil {
		return nil, err
	}
	k.Drifted = k.SHA256 != l.SHA256
	if k.Drifted {
		fmt.Fprintf(f.log, "vmtest: WARNING: kernel %s has DRIFTED: %s %s is no longer in the archive; using %s %s (sha256 %s). Update kernels.lock.\n",
			l.Alias, l.Package, l.Version, k.Package, k.Version, k.SHA256)
	}
	return k, nil
}

// fetchInto fills a cache folder. It stays at the key of the lock even when the
// build has drifted; the file origin tells what it is.
func (f *fetcher) fetchInto(ctx context.Context, l Lock, dir string) error {
	fmt.Fprintf(f.log, "vmtest: fetching kernel %s (%s)\n", l.Alias, l.Package)
	// The first try may fail for want of package lists only.
	deb, err := f.download(ctx, dir, l.Package+"="+l.Version)
	if err != nil {
		if updateErr := f.update(ctx); updateErr != nil {
			return errors.Join(err, updateErr)
		}
		deb, err = f.download(ctx, dir, l.Package+"="+l.Version)
	}
	drifted := err != nil
	if drifted {
		name, metaErr := f.dependency(ctx, l.Meta)
		if metaErr != nil {
			return errors.Join(err, metaErr)
		}
		if deb, metaErr = f.download(ctx, dir, name); metaErr != nil {
			return errors.Join(err, metaErr)
		}
	}
	sum, err := fileSHA256(deb)
	if err != nil {
		return err
	}
	if !drifted && sum != l.SHA256 {
		return fmt.Errorf("%s %s: sha256 is %s, but kernels.lock says %s", l.Package, l.Version, sum, l.SHA256)
	}
	fields, err := f.run(ctx, dir, "dpkg-deb", "--show", "--showformat=${Package} ${Version}", deb)
	if err != nil {
		return err
	}
	if _, err := f.run(ctx, dir, "dpkg-deb", "--extract", deb, "root"); err != nil {
		return err
	}
	// Modules stay inside the package, which is a quarter of their size, until
	// somebody asks for them.
	if err := os.RemoveAll(filepath.Join(dir, "root", "lib")); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, "root", "usr")); err != nil {
		return err
	}
	if err := os.Rename(deb, filepath.Join(dir, "kernel.deb")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "origin"), []byte(strings.TrimSpace(fields)+" "+sum+"\n"), 0o644)
}

// openKernel reads a cache folder.
func openKernel(dir, alias string) (*Kernel, error) {
	origin, err := os.ReadFile(filepath.Join(dir, "origin"))
	if err != nil {
		return nil, err
	}
	f := strings.Fields(string(origin))
	if len(f) != 3 {
		return nil, fmt.Errorf("%s: bad origin %q; remove the folder", dir, origin)
	}
	images, err := filepath.Glob(filepath.Join(dir, "root", "boot", "vmlinuz-*"))
	if err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("%s %s holds %d kernels, not one", f[0], f[1], len(images))
	}
	return &Kernel{Alias: alias, Package: f[0], Version: f[1], SHA256: f[2], Image: images[0], dir: dir}, nil
}

// download gets one package, "name" or "name=version", and returns its path.
func (f *fetcher) download(ctx context.Context, dir, what string) (string, error) {
	if _, err := f.run(ctx, dir, "apt-get", "-qq", "download", what); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return "", err
	}
	if len(debs) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d packages, not one", what, len(debs))
	}
	return debs[0], nil
}

// update refreshes the package lists, which only root may do.
func (f *fetcher) update(ctx context.Context) error {
	args := []string{"apt-get", "-qq", "update"}
	if os.Getuid() != 0 {
		args = append([]string{"sudo", "-n"}, args...)
	}
	_, err := f.run(ctx, "", args[0], args[1:]...)
	return err
}

// dependency returns the kernel package that a meta package depends on.
func (f *fetcher) dependency(ctx context.Context, meta string) (string, error) {
	out, err := f.run(ctx, "", "apt-cache", "depends", meta)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(name, "linux-image-") {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s depends on no kernel", meta)
}

func fileSHA256(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
