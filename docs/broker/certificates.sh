#!/bin/bash
# Makes a certificate authority and the broker's certificate with openssl:
#
#   docs/broker/certificates.sh NAME FOLDER [DAYS]
#
# NAME is the broker's host name as it stands in mqtt.url (an IPv4 address works, too), DAYS how long the broker's
# certificate is valid (default: 825; the authority's is valid for ten years). Into FOLDER it writes
#
#   ca.pem                    for each device (mqtt.ca) and each dashboard
#   broker.pem, broker.key    for the broker
#   ca.key                    signs further certificates: keep it off the broker and off the network
#
# An authority that is there already is used again, so that a second call renews the broker's certificate alone and
# devices need no new file.
set -euo pipefail
case ${1:-} in '' | -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;; esac
name=$1 folder=${2:?a folder} days=${3:-825}
kind=DNS
[[ $name =~ ^[0-9.]+$ ]] && kind=IP
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
umask 077
mkdir -p "$folder"
cd "$folder"

if [ ! -e ca.key ]; then
    openssl req -x509 "${key[@]}" -keyout ca.key -out ca.pem -days 3650 -subj "/CN=Lectern broker authority"
fi
openssl req -new "${key[@]}" -keyout broker.key -out broker.csr -subj "/CN=$name"
# Not an authority itself, for servers alone, and for this name: all three are looked at by the device.
printf '%s\n' basicConstraints=CA:FALSE extendedKeyUsage=serverAuth "subjectAltName=$kind:$name" > broker.ext
openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days "$days" -extfile broker.ext \
    -out broker.pem
rm broker.csr broker.ext
chmod 644 ca.pem broker.pem
