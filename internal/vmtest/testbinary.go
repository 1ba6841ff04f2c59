package vmtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// TestBinary is a compiled Go test to run in the guest.
type TestBinary struct {
	Binary string // host path; must be static
	Source string // host folder of the package; its testdata goes along
	// Guest is the guest's working directory, absolute, different for each
	// test of a run.
	Guest string
}

// Files returns what the guest needs to run the test: the program, and the
// package's testdata in the working directory.
func (t TestBinary) Files() ([]File, error) {
	if err := CheckStatic(t.Binary); err != nil {
		return nil, err
	}
	files := []File{{Host: t.Binary, Guest: t.Program(), Mode: 0o755}}
	data := filepath.Join(t.Source, "testdata")
	switch info, err := os.Stat(data); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s is not a folder", data)
	default:
		files = append(files, File{Host: data, Guest: path.Join(t.Guest, "testdata")})
	}
	return files, nil
}

// Program is the guest path of the test program.
func (t TestBinary) Program() string { return path.Join(t.Guest, filepath.Base(t.Binary)) }
