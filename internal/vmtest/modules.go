package vmtest

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// modules returns the files of the named kernel modules and of all those that
// they depend on, in loading order. Modules are unpacked on first use.
func (c *cache) modules(ctx context.Context, k *Kernel, names []string) ([]File, error) {
	if len(names) == 0 {
		return nil, nil
	}
	root, err := c.fill(ctx, func(dir string) error {
		if _, err := runApt(ctx, dir, "dpkg-deb", "--extract", filepath.Join(k.dir, "kernel.deb"), dir); err != nil {
			return err
		}
		_, err := runApt(ctx, dir, "depmod", "-b", dir, k.Release())
		return err
	}, "modules", k.SHA256)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(root, "lib", "modules", k.Release())
	dep, err := os.ReadFile(filepath.Join(base, "modules.dep"))
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(base, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	order, err := moduleOrder(string(dep), string(builtin), names)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", k.Alias, err)
	}
	var files []File
	for _, m := range order {
		files = append(files, File{Host: filepath.Join(base, m), Guest: "/rig/modules/" + path.Base(m)})
	}
	return files, nil
}

// moduleOrder resolves names by the contents of modules.dep, whose lines list
// what a module needs with the last to load first. Built-in modules need no
// loading.
func moduleOrder(dep, builtin string, names []string) ([]string, error) {
	needs := map[string][]string{} // module name → its file and those it needs
	for line := range strings.Lines(dep) {
		file, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok {
			needs[moduleName(file)] = append([]string{file}, strings.Fields(rest)...)
		}
	}
	within := map[string]bool{}
	for line := range strings.Lines(builtin) {
		within[moduleName(strings.TrimSpace(line))] = true
	}
	var order []string
	for _, name := range names {
		files, ok := needs[moduleName(name)]
		if !ok {
			if within[moduleName(name)] {
				continue
			}
			return nil, fmt.Errorf("no module %q", name)
		}
		for _, f := range slices.Backward(files) {
			if !slices.Contains(order, f) {
				order = append(order, f)
			}
		}
	}
	return order, nil
}

// moduleName strips folder and suffix; "-" and "_" are the same in it.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}
