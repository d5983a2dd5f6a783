#!/bin/sh
# Get this checkout ready to run: system libraries, then .venv with the locked packages.
#
#   deploy/bootstrap.sh serve    what the server needs
#   deploy/bootstrap.sh test     the same, and what the tests and linters need
#
# PYTHON=python3.12    use this Python (3.11 or newer)
# PIXERVE_NO_APT=1     install no system packages, only say which ones are missing
#
# Nothing is fetched when nothing is missing. The stamp in .venv is written last, so a run that was
# cut off anywhere, even by kill -9, is healed by the next one.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/pixerve-stamp
wand_pattern='^libmagickwand-[67]\.q16-[0-9]+(t64)?$'
turbojpeg_pattern='^libturbojpeg0?$'

say() { printf 'bootstrap: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Show the output of a command only when it fails.
quietly() {
    log=$(mktemp)
    status=0
    "$@" </dev/null >"$log" 2>&1 || status=$?
    [ "$status" = 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

# --- Python -----------------------------------------------------------------------------------

is_new_enough() { "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
version_of() { "$1" -I -c 'import platform; print(platform.python_version())'; }
has_ensurepip() { "$1" -I -c 'import ensurepip, venv' 2>/dev/null; }

# The interpreter behind an active virtual environment: that one may be the .venv we remove.
base_of() { "$1" -I -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))'; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or newer"
        base_of "$PYTHON"
        return
    fi
    # The distribution's is built for speed; the same version compiled without profiling (pyenv's
    # way) took a fifth more CPU time.
    if has_ensurepip /usr/bin/python3 && is_new_enough /usr/bin/python3; then
        echo /usr/bin/python3
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        is_new_enough "$candidate" || continue
        base_of "$candidate"
        return
    done
    fail 'no Python 3.11 or newer found; install one, or name it: PYTHON=/path/to/python3.12'
}

# --- system packages --------------------------------------------------------------------------

has_wand_library() {
    PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null | grep -q libMagickWand- && return
    # musl has no such cache, and MAGICK_HOME is where Wand looks first
    for library in "${MAGICK_HOME:-/usr/local}"/lib/libMagickWand-*.so* /usr/lib/libMagickWand-*.so*; do
        [ -e "$library" ] && return
    done
    return 1
}

has_library() {
    PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null | grep -q "$1" || [ -e "/usr/lib/$1" ]
}

# The package that a pattern names here. Until apt has fetched its lists it knows no name; then the
# pattern stands for it.
package_like() {
    names=$(apt-cache search --names-only "$1" 2>/dev/null | cut -d' ' -f1 | sort)
    printf '%s\n' "${names:-$1}" | head -n 1
}

venv_package() {
    case $1 in
        /usr/bin/*) version_of "$1" | sed -E 's/^([0-9]+\.[0-9]+).*/python\1-venv/' ;;
        *) fail "$1 has no ensurepip module, so it cannot make a virtual environment" ;;
    esac
}

# Adds to `optional`: strace, a browser, PostgreSQL, stores to deliver to, and a clock that jumps. Where one is
# missing, its tests are skipped.
find_missing_for_tests() {
    command -v strace >/dev/null || want strace
    if command -v chromium >/dev/null; then
        :
    elif grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; then
        say 'chromium is a snap on Ubuntu and not installed here: browser tests are skipped'
    else
        want chromium
    fi
    for program in radosgw ceph-mon ceph-osd; do
        command -v "$program" >/dev/null || want "$program"
    done
    command -v radosgw-admin >/dev/null && command -v ceph >/dev/null || want ceph-common
    [ -x /usr/sbin/sshd ] || want openssh-server
    has_nss_wrapper || want libnss-wrapper
    # Debian's package makes a cluster and starts it where it can; the tests have one of their own.
    has_postgres || want postgresql
    command -v redis-server >/dev/null || want redis-server
    has_faketime || want faketime
}

has_postgres() {
    for program in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$program" ] && return
    done
    command -v initdb >/dev/null
}

has_faketime() {
    for library in /usr/lib/*/faketime/libfaketimeMT.so.1; do
        [ -e "$library" ] && return
    done
    return 1
}

has_nss_wrapper() {
    for library in /usr/lib/libnss_wrapper.so /usr/lib*/*/libnss_wrapper.so; do
        [ -e "$library" ] && return
    done
    return 1
}

want() { optional="${optional:+$optional }$1"; }

# Sets `essential`, `optional` and `missing` (both) to lists of package names.
find_missing_packages() {
    essential='' optional=''
    has_wand_library || essential=$(package_like "$wand_pattern")
    if [ -n "$python" ] && ! has_ensurepip "$python"; then
        package=$(venv_package "$python")
        essential="${essential:+$essential }$package"
    fi
    # Without these JPEG is read more slowly, and watermarks in joined or right-to-left scripts are
    # drawn letter by letter.
    has_library libturbojpeg.so.0 || optional=$(package_like "$turbojpeg_pattern")
    has_library libfribidi.so.0 || want libfribidi0
    if [ "$kind" = test ]; then
        find_missing_for_tests
    fi
    missing="$essential${essential:+${optional:+ }}$optional"
}

# Leaves out the optional packages that this system does not have under any name.
forget_unknown() {
    known=''
    for package in $optional; do
        case $package in ^*) ;; *) known="${known:+$known }$package" ;; esac
    done
    optional=$known
    missing="$essential${essential:+${optional:+ }}$optional"
}

# Sets `as_root` to the words that run a command as root; fails when there is no way.
find_root() {
    as_root=''
    [ "$(id -u)" != 0 ] || return 0
    as_root=sudo
    command -v sudo >/dev/null || return 1
    sudo -n true 2>/dev/null || [ -t 0 ]
}

# shellcheck disable=SC2086 # as_root is a list of words
apt_get() { quietly $as_root env DEBIAN_FRONTEND=noninteractive apt-get -y "$@"; }

apt_update() {
    say 'fetching the list of packages'
    apt_get update || say 'that failed; going on with the list that is there'
}

# shellcheck disable=SC2086 # lists of package names
apt_install() { apt_get install --no-install-recommends $missing; }

# shellcheck disable=SC2086 # lists of package names
refuse_to_install() {
    say "missing on this system: $missing"
    say "install with: apt-get update && apt-get install --no-install-recommends$(
        printf " '%s'" $missing)"
    [ -z "$essential" ] || exit 1
}

install_system_packages() {
    find_missing_packages
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null; then
        [ -z "$essential" ] || fail 'install with your package manager: the MagickWand library' \
            '(part of ImageMagick), and the venv and ensurepip modules of Python'
    elif [ "${PIXERVE_NO_APT:-}" = 1 ] || ! find_root; then
        refuse_to_install
    else
        case $missing in *'^'*) apt_update; find_missing_packages; forget_unknown ;; esac
        say "installing $missing"
        apt_install || { apt_update; apt_install; } || refuse_to_install
    fi
}

# --- .venv ------------------------------------------------------------------------------------

lock_file() { if [ "$1" = test ]; then echo requirements-dev.lock; else echo requirements.lock; fi; }

# What .venv must hold: the folder is named because scripts in it hold absolute paths.
wanted_stamp() {
    sums=$(cat requirements.lock requirements-dev.lock | sha256sum | cut -d' ' -f1)
    printf '%s %s %s %s\n' "$1" "$(version_of .venv/bin/python)" "$sums" "$PWD"
}

stamp_says() { [ "$(cat "$stamp")" = "$(wanted_stamp "$1")" ]; }
is_up_to_date() { stamp_says test || { [ "$kind" = serve ] && stamp_says serve; }; }

# Whole, made by the Python that is wanted, and not moved since.
venv_is_usable() {
    [ -s "$stamp" ] && is_new_enough .venv/bin/python || return 1
    version=$(version_of .venv/bin/python)
    [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON" 2>/dev/null)" = "$version" ] || return 1
    case "$(cat "$stamp")" in *" $version "*" $PWD") return 0 ;; *) return 1 ;; esac
}

make_venv() {
    say "making .venv with $python ($(version_of "$python"))"
    rm -rf .venv
    quietly "$python" -m venv .venv || fail 'that failed, see above'
}

install_python_packages() {
    lock=$(lock_file "$kind")
    say "installing the Python packages of $lock"
    rm -f "$stamp"
    quietly .venv/bin/python -m pip install --disable-pip-version-check --no-input \
        --require-hashes -r "$lock" || fail 'that failed, see above'
    wanted_stamp "$kind" >"$stamp.new"
    mv "$stamp.new" "$stamp"
}

# --- nginx, for the tests -----------------------------------------------------------------------

# Unpacked into .venv and not installed: a package's script would start it as a service.
fetch_nginx() {
    unpacked=.venv/nginx
    PATH="$PATH:/usr/sbin:$unpacked/usr/sbin" command -v nginx >/dev/null && return
    [ "${PIXERVE_NO_APT:-}" != 1 ] && command -v dpkg-deb >/dev/null || return 0
    say 'fetching nginx for the tests'
    folder=$(mktemp -d)
    if (cd "$folder" && quietly apt-get download nginx) &&
        quietly dpkg-deb -x "$folder"/nginx_*.deb "$folder/nginx"; then
        rm -rf "$unpacked"
        mv "$folder/nginx" "$unpacked"
    else
        say 'that failed: the tests with nginx are skipped'
    fi
    rm -rf "$folder"
}

kind=${1:-}
case $kind in serve | test) ;; *) fail 'usage: deploy/bootstrap.sh serve|test' ;; esac

# One at a time: two that install into the same .venv would break it.
if command -v flock >/dev/null; then
    exec 9<deploy/bootstrap.sh
    flock -n 9 || { say 'waiting for another bootstrap to finish'; flock 9; }
fi

python=''
venv_is_usable || python=$(find_python)
install_system_packages
[ -z "$python" ] || make_venv
if [ -n "$python" ] || ! is_up_to_date; then
    install_python_packages
fi
if [ "$kind" = test ]; then
    fetch_nginx
fi
