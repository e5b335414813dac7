#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Install what is missing, build, and run the main job on real parts: SoftHSM tokens, SQLite,
# mutual TLS, a real archive. Each step says what it proves. Nothing is left running.
#
#   ./quickstart.sh           run the story in a fresh demo directory
#   ./quickstart.sh --keep    leave it running, and print how to talk to it
#
# KMS_DEMO_DIR names the demo directory; KMS_DEMO_MB the archive's size (256).
set -euo pipefail
cd "$(dirname "$0")"

keep=""
case ${1:-} in
"") ;;
--keep) keep=1 ;;
*) sed -n '4,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

step=0
title() { step=$((step + 1)); printf '\n%d. %s\n' "$step" "$*"; }
proves() { printf '   => %s\n' "$*"; }
# refused COMMAND...: it must fail; show its last line.
refused() {
	local out
	if out=$("$@" 2>&1); then
		echo "   this should have been refused: $*" >&2
		exit 1
	fi
	printf '   refused: %s\n' "$(tail -n 1 <<<"$out")"
}

title "Packages and build"
scripts/install-packages
[ -d build/meson-info ] || meson setup build -Dtests=false >/dev/null
ninja -C build --quiet
export KMS_BUILD=$PWD/build PATH=$PWD/build/cli:$PATH

users=()
if [ "$(id -u)" -eq 0 ]; then
	demo=${KMS_DEMO_DIR:-/var/lib/kmsd-demo}
	users=(--users)
else
	demo=${KMS_DEMO_DIR:-$PWD/demo}
fi
scripts/demo stop "$demo"
rm -rf "$demo"
cleanup() { [ -n "$keep" ] && [ -n "${told:-}" ] || scripts/demo stop "$demo"; }
trap cleanup EXIT

title "A tenant, the platform, their CAs, two tokens, kmsd ($demo)"
scripts/demo make "$demo" "${users[@]}"
scripts/demo start "$demo"
if [ ${#users[@]} -gt 0 ]; then
	proves "kmsd and each kms-tokend run under users of their own; kmsd can read no PIN and no CA key"
else
	proves "NOT shown without root: users of their own. Here whoever runs kmsd can read the PINs too"
fi
proves "on one machine keys and data are not apart in hardware (A-5): the demo shows the rest"
as() { local who=$1; shift; kms --profile "$demo/$who.yaml" "$@"; }
work=$demo/work
mkdir -p "$work"
json() { python3 -c 'import json, sys; print(json.load(sys.stdin)'"$1"')'; }

title "The custodian makes a key"
key=$(as custodian-1 key create --label archives --json | json '["id"]')
as custodian-1 key show "$key" | sed 's/^/   /'
proves "the KEK was made in the tenant's token, read back, tested, recorded, and only then committed"
dataset=$(as custodian-1 dataset add --label archive-2026 --key "$key" --medium archive \
	--site tokyo-1 --country JP --json | json '["id"]')

title "A storage system encrypts an archive of ${KMS_DEMO_MB:-256} MB"
head -c "${KMS_DEMO_MB:-256}M" /dev/urandom >"$work/archive.tar"
as storage-1 encrypt --key "$key" --dataset "$dataset" --context purpose=archive \
	"$work/archive.tar" "$work/archive.kms"
ls -l "$work" | awk 'NR > 1 {printf "   %12d %s\n", $5, $9}'
proves "the data key came through a TLS session with kms-tokend; kmsd carried it and could not read it"

title "All daemons are restarted; the archive is decrypted from its own header"
scripts/demo restart "$demo"
as storage-1 decrypt --dataset "$dataset" --context purpose=archive "$work/archive.kms" "$work/again.tar"
cmp "$work/archive.tar" "$work/again.tar"
rm "$work/again.tar"
proves "nothing but the file, its context and the token was needed"

title "What must fail, fails, and leaves no file"
tampered() { # tampered WHAT: a copy of the archive with python code applied to the bytearray b
	python3 - "$work/archive.kms" "$work/bad.kms" "$1" <<-'PY'
		import sys
		b = bytearray(open(sys.argv[1], "rb").read())
		exec(sys.argv[3])
		open(sys.argv[2], "wb").write(b)
	PY
	refused as storage-1 decrypt --dataset "$dataset" --context purpose=archive "$work/bad.kms" "$work/bad.tar"
	[ ! -e "$work/bad.tar" ]
}
echo "   one byte changed:"
tampered 'b[len(b) // 2] ^= 1'
echo "   the file cut:"
tampered 'del b[-100000:]'
echo "   two chunks swapped:"
tampered 'n = 65536 + 16; h = (len(b) - 8) % n + n; x = h + 3 * n; y = h + 7 * n; b[x:x+n], b[y:y+n] = b[y:y+n], b[x:x+n]'
echo "   another context:"
refused as storage-1 decrypt --dataset "$dataset" --context purpose=backup "$work/archive.kms" "$work/bad.tar"
[ ! -e "$work/bad.tar" ]
echo "   the auditor asks for the key:"
refused as auditor-1 decrypt --dataset "$dataset" --context purpose=archive "$work/archive.kms" "$work/bad.tar"
rm -f "$work/bad.kms"

title "Rotation: a new version; old files still open; one file is moved to it"
as custodian-1 key rotate "$key" | sed 's/^/   /'
as storage-1 decrypt --dataset "$dataset" --context purpose=archive "$work/archive.kms" - >/dev/null
as storage-1 rewrap --dataset "$dataset" --context purpose=archive "$work/archive.kms"
as storage-1 decrypt --dataset "$dataset" --context purpose=archive "$work/archive.kms" "$work/again.tar"
cmp "$work/archive.tar" "$work/again.tar"
proves "the data key went from the old KEK to the new one inside kms-tokend; the data was not touched"

title "The contract ends: two people approve, the key is destroyed in its token"
as custodian-1 erase plan --key "$key" | sed 's/^/   /'
erasure=$(as custodian-1 erase request --key "$key" --window 0s --yes --json | json '["id"]')
echo "   the archive, from the moment of the request on:"
refused as storage-1 decrypt --dataset "$dataset" --context purpose=archive "$work/archive.kms" "$work/bad.tar"
echo "   the custodian alone executes it:"
refused as custodian-1 erase execute "$erasure"
for who in approver-1 approver-2; do
	as "$who" erase approve "$erasure" --sign-key "$demo/tenant/people/$who.approval.key" --yes \
		>"$work/$who.txt"
done
echo "   what an approver reads before signing, parsed from the very bytes that are signed:"
sed '/^kmsd holds/,$d; s/^/   | /' "$work/approver-1.txt"
as custodian-1 erase execute "$erasure" | sed '/^requested by/,$d; s/^/   /'
proves "the token judged the request by its owner's file, destroyed the key, and looked for it again"

title "Its certificate is verified elsewhere, by somebody else, without kmsd"
rm -rf "$work/certificate"
as auditor-1 erase certificate "$erasure" --output "$work/certificate" >/dev/null
echo "   the archive now:"
refused as storage-1 decrypt --dataset "$dataset" --context purpose=archive "$work/archive.kms" "$work/bad.tar"
[ ! -e "$work/bad.tar" ]
away=$(mktemp -d)
cp -r "$work/certificate" "$demo/trust.json" "$away"
chmod -R a+rX "$away"
anybody=(setpriv --reuid nobody --regid nogroup --clear-groups)
if [ "$(id -u)" -ne 0 ] || ! "${anybody[@]}" test -x build/cli/kms; then
	anybody=() # this folder is not open to others
fi
(cd "$away" && "${anybody[@]}" kms verify certificate --trust trust.json) | sed 's/^/   /'
rm -rf "$away"
proves "with the auditor's own trust file, and nothing from the operator but the folder itself"
as auditor-1 key history "$key" | sed 's/^/   /'

title "Every step is in the ledger"
sleep 2 # the last uses are stated, and the head signed, within a second
as auditor-1 ledger show | sed 's/^/   /'
as auditor-1 ledger verify --trust "$demo/trust.json" | sed 's/^/   /'
proves "hashes, signatures and the token's own statements agree, by keys that did not come from kmsd"
kms ledger replay --config "$demo/kmsd/kmsd.yaml" | sed 's/^/   /'
proves "every key's state follows from the ledger alone"

if [ -n "$keep" ]; then
	told=1
	printf '\nIt is running. To talk to it:\n  export PATH=%s:$PATH KMS_PROFILE=%s\n' "$PWD/build/cli" "$demo/storage-1.yaml"
	printf '  kms status; kms --profile %s key list\n' "$demo/custodian-1.yaml"
	printf 'To stop it: scripts/demo stop %s\n' "$demo"
else
	printf '\nDone. Nothing was left running; the demo directory is %s\n' "$demo"
fi
