# The front door. Meson and ninja do the work; this file installs what they need, configures, calls.
#
#   make            the command, at build/paraphym, and the library
#   make demo       build, then show what it does with the built-in model
#   make test       build with the fault hooks in, run every test and gate
#   make bench      time it on this machine
#   make fuzz       fuzz every parser, SECONDS each (10)
#   make format     let clang-format lay out the C
#   make install    command, library, headers, manual and models under PREFIX (/usr/local)
#   make clean      remove the build folders

PREFIX  ?= /usr/local
SECONDS ?= 10
# Options for `meson setup`, and for `meson test`; LABEL goes before the line that sums a test run up.
OPTIONS ?=
TESTS   ?=
LABEL   ?=

comma := ,
setup = test -f $(1)/build.ninja || meson setup $(1) $(2) $(OPTIONS)

all: configured
	ninja -C build

configured: packages
	@$(call setup,build,-Dtests=false --prefix $(abspath $(PREFIX)) --libdir lib)

demo: all
	tools/demo

test: packages-test
	@$(call setup,build/test,-Dfaults=true)
	ninja -C build/test
	@meson test -C build/test --no-rebuild --print-errorlogs $(TESTS); \
	    tools/test-summary $(if $(LABEL),--label '$(LABEL)') build/test

bench: all
	meson test -C build --no-rebuild --benchmark --verbose

fuzz: packages-ci
	@CC=clang $(call setup,build/fuzz,-Dfuzz=true -Dtests=false \
	    -Db_sanitize=address$(comma)undefined -Db_lundef=false)
	ninja -C build/fuzz
	tests/fuzz/run $(SECONDS) build/fuzz

format: packages-test
	tools/check_format --fix

install: configured
	@meson configure build --prefix $(abspath $(PREFIX)) --libdir lib
	ninja -C build
	meson install -C build --no-rebuild
	@test -n "$(DESTDIR)" || test "$$(id -u)" -ne 0 || ldconfig

clean:
	rm -rf build

packages:
	@tools/install-packages build

packages-test:
	@tools/install-packages build test

packages-ci:
	@tools/install-packages build test ci

.PHONY: all configured demo test bench fuzz format install clean packages packages-test packages-ci
