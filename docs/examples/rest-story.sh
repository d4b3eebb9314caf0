#!/bin/sh
# A purchase from the first login to the door, by curl alone. It opens a shop, hires a courier, fills a guest's cart,
# signs in, buys, and reviews; what it makes stays. Python reads fields out of the answers, as jq would.
#   sh docs/examples/rest-story.sh http://127.0.0.1:50052
# signs in as the demo's admin; anywhere else ADMIN_EMAIL and ADMIN_PASSWORD say who approves shops and couriers.
set -eu
API=${1:?the address of the gateway, such as http://127.0.0.1:50052}
ADMIN_EMAIL=${ADMIN_EMAIL:-admin@demo.example.com}
ADMIN_PASSWORD=${ADMIN_PASSWORD:-demo-market-2026}
RUN=${RUN:-$(date +%s)-$$}             # a part of every name and key, so that the story can be told again
WORK=$(mktemp -d)
trap 'kill ${WATCH:-} ${ORDER_WATCH:-} 2>/dev/null || true; rm -rf "$WORK"' EXIT

# call METHOD PATH TOKEN [JSON [IDEMPOTENCY-KEY]]: prints the answer; an error is shown, and ends the story.
call() {
  method=$1; path=$2; token=$3; body=${4:-}; key=${5:-}
  set -- --silent --show-error --max-time 30 --request "$method" --output "$WORK/answer" --write-out '%{http_code}'
  [ -z "$token" ] || set -- "$@" --header "Authorization: Bearer $token"
  [ -z "$key" ] || set -- "$@" --header "Idempotency-Key: $RUN $key"
  [ -z "$body" ] || set -- "$@" --header 'Content-Type: application/json' --data "$body"
  status=$(curl "$@" "$API$path")
  if [ "$status" != 200 ]; then
    echo "$method $path: $status $(cat "$WORK/answer")" >&2
    return 1
  fi
  cat "$WORK/answer"
}

# field PATH: of the JSON that comes in, such as orders.0.orderId
field() {
  python3 -S -c 'import functools, json, sys
at = lambda value, key: value[int(key)] if isinstance(value, list) else value[key]
print(functools.reduce(at, sys.argv[1].split("."), json.load(sys.stdin)))' "$1"
}

# expect WANTED FOUND: ends the story when they differ.
expect() {
  [ "$1" = "$2" ] || { echo "expected $1, found $2" >&2; exit 1; }
}

# until_ok COMMAND…: repeats it for half a minute, until it succeeds.
until_ok() {
  tries=0
  until "$@" 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 150 ] || { echo "still not: $*" >&2; exit 1; }
    sleep 0.2
  done
}

step() { echo "ok $*"; }

register() {  # NAME: prints the access token
  call POST /v1/auth:register '' \
    "{\"email\": \"$1-$RUN@story.example\", \"password\": \"a long passphrase of $1\", \"fullName\": \"$1\"}" |
    field tokens.accessToken
}

login() {  # LOGIN PASSWORD: prints the access token
  call POST /v1/auth:login '' "{\"login\": \"$1\", \"password\": \"$2\"}" | field tokens.accessToken
}

again() {  # NAME: a token of those roles that the account has by now
  login "$1-$RUN@story.example" "a long passphrase of $1"
}

place() {  # NAME LATITUDE LONGITUDE: an address
  printf '{"recipient": "%s", "phone": "+49301234567", "lines": ["Torstr. 1"], "city": "Berlin",' "$1"
  printf '"postalCode": "10119", "regionCode": "DE", "point": {"latitude": %s, "longitude": %s}}' "$2" "$3"
}

ADMIN=$(login "$ADMIN_EMAIL" "$ADMIN_PASSWORD")
step admin signs in

OWNER=$(register owner)
SHOP=$(call POST /v1/sellers "$OWNER" "{\"handle\": \"story-$RUN\", \"shopName\": \"Story $RUN\",
  \"pickupAddress\": $(place Shop 52.530 13.400), \"prepDuration\": \"60s\", \"timeZone\": \"Europe/Berlin\"}" shop |
  field seller.sellerId)
call POST "/v1/sellers/$SHOP:approve" "$ADMIN" '{}' >/dev/null
OWNER=$(again owner)
step a shop opens

PRODUCT=$(call POST /v1/products "$OWNER" "{\"title\": \"Teapot $RUN\", \"variants\": [{\"sku\": \"T-$RUN\",
  \"price\": {\"currencyCode\": \"EUR\", \"units\": \"12\", \"nanos\": 500000000}, \"initialQuantity\": 5}]}" product)
PRODUCT_ID=$(echo "$PRODUCT" | field product.productId)
VARIANT=$(echo "$PRODUCT" | field product.variants.0.variantId)
call POST "/v1/products/$PRODUCT_ID:publish" "$OWNER" '{}' >/dev/null
step a product is published

call POST /v1/couriers "$(register courier)" \
  '{"firstName": "Mika", "lastName": "Roth", "vehicle": "VEHICLE_TYPE_BICYCLE"}' courier >"$WORK/courier"
COURIER_ID=$(field courier.courierId <"$WORK/courier")
call POST "/v1/couriers/$COURIER_ID:approve" "$ADMIN" '{}' >/dev/null
COURIER=$(again courier)
call POST /v1/shifts:start "$COURIER" '{}' shift >/dev/null
step a courier starts the shift

CODE=TEA-$RUN
call POST /v1/promoCodes "$OWNER" "{\"code\": \"$CODE\", \"sellerId\": \"$SHOP\", \"kind\": \"PROMO_CODE_KIND_FIXED\",
  \"amount\": {\"currencyCode\": \"EUR\", \"units\": \"2\"}, \"perUserLimit\": 1}" code >/dev/null
step the shop makes a promo code

expect "Teapot $RUN" "$(call GET "/v1/products/$PRODUCT_ID" '' | field product.title)"
expect "$PRODUCT_ID" "$(call GET "/v1/products?sellerIds=$SHOP&pageSize=1" '' | field products.0.productId)"
step somebody without an account finds it in the list

found() {
  [ "$(call POST /v1/products:search '' "{\"query\": \"teapot $RUN\", \"pageSize\": 1}" |
    field products.0.productId)" = "$PRODUCT_ID" ]
}
until_ok found
step and by searching

GUEST=$(call POST /v1/guestCarts '' '{}' | field guestToken)
call POST /v1/cart/items "$GUEST" "{\"variantId\": \"$VARIANT\", \"quantity\": 2}" cart >/dev/null
call POST /v1/cart/items "$GUEST" "{\"variantId\": \"$VARIANT\", \"quantity\": 2}" cart >/dev/null
expect 2 "$(call GET /v1/cart "$GUEST" | field cart.items.0.quantity)"
call POST /v1/cart:applyPromoCode "$GUEST" "{\"code\": \"$CODE\"}" >/dev/null
step two go into a guest\'s cart, though the call was repeated

register buyer >/dev/null
BUYER=$(call POST /v1/auth:login '' "{\"login\": \"buyer-$RUN@story.example\", \"password\": \"a long passphrase of buyer\",
  \"guestCartToken\": \"$GUEST\"}" | field tokens.accessToken)
expect 2 "$(call GET /v1/cart "$BUYER" | field cart.items.0.quantity)"
step the guest signs in, and the cart comes along

QUOTE=$(call POST /v1/cart:quote "$BUYER" "{\"address\": $(place Ada 52.531 13.410)}")
TOTAL=$(echo "$QUOTE" | python3 -S -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["total"]))')
expect 2 "$(echo "$QUOTE" | field discountAmount.units)"
step a quote, with the discount

GROUP=$(call POST /v1/orders "$BUYER" \
  "{\"quoteToken\": \"$(echo "$QUOTE" | field quoteToken)\", \"expectedTotal\": $TOTAL}" order)
ORDER=$(echo "$GROUP" | field orderGroup.orders.0.orderId)
ITEM=$(echo "$GROUP" | field orderGroup.orders.0.items.0.itemId)
call POST "/v1/payments/$(echo "$GROUP" | field orderGroup.payment.paymentId):confirm" "$BUYER" \
  '{"paymentMethod": {"sandbox": "ok"}}' payment >/dev/null
expect ORDER_STATE_PAID "$(call GET "/v1/orders/$ORDER" "$BUYER" | field order.state)"
step the order is paid

curl --silent --no-buffer --max-time 60 --header "Authorization: Bearer $BUYER" \
  "$API/v1/orders/$ORDER:watch" >"$WORK/order.ndjson" &
ORDER_WATCH=$!
until_ok grep -q '"snapshot"' "$WORK/order.ndjson"
call POST "/v1/orders/$ORDER:accept" "$OWNER" '{"prepDuration": "60s"}' accept >/dev/null
call POST "/v1/orders/$ORDER:markReady" "$OWNER" '{}' ready >/dev/null
step the seller accepts and prepares

delivery() {
  call GET "/v1/deliveries?orderIds=$ORDER" "$ADMIN" | field deliveries.0.deliveryId >"$WORK/delivery"
}
until_ok delivery
DELIVERY=$(cat "$WORK/delivery")
call POST "/v1/deliveries/$DELIVERY:assignCourier" "$ADMIN" "{\"courierId\": \"$COURIER_ID\"}" assign >/dev/null
call POST "/v1/deliveries/$DELIVERY:pickUp" "$COURIER" '{}' pickup >/dev/null
step the courier picks it up

curl --silent --no-buffer --max-time 60 --header "Authorization: Bearer $BUYER" \
  "$API/v1/deliveries/$DELIVERY:watch" >"$WORK/watch.ndjson" &
WATCH=$!
saw() { grep -q "$1" "$WORK/watch.ndjson"; }
until_ok saw '"snapshot"'
step the buyer watches

UPLINK=$(python3 -S -c 'import uuid; print(uuid.uuid4())')
for seq in 1 2 3; do
  call POST /v1/locations:report "$COURIER" "{\"uplinkId\": \"$UPLINK\", \"batch\": {\"positions\": [{\"seq\": $seq,
    \"sampleTime\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\", \"accuracyMeters\": 5,
    \"point\": {\"latitude\": 52.5303, \"longitude\": 13.404$seq}}]}}" >"$WORK/ack"
  expect "$seq" "$(field ack.ackedSeq <"$WORK/ack")"
done
until_ok saw '"position"'
step the courier rides, and the buyer sees where

DOOR=$(call GET "/v1/deliveries/$DELIVERY" "$BUYER" | field delivery.dropoffCode)
call POST "/v1/deliveries/$DELIVERY:complete" "$COURIER" "{\"code\": \"$DOOR\"}" complete >/dev/null
until_ok saw DELIVERY_STATE_CLOSED
wait "$WATCH"                      # the watch ends by itself when the delivery is closed
delivered() {
  [ "$(call GET "/v1/orders/$ORDER" "$BUYER" | field order.state)" = ORDER_STATE_DELIVERED ]
}
until_ok delivered
step delivered

for state in PAID ACCEPTED READY OUT_FOR_DELIVERY DELIVERED; do
  until_ok grep -q "ORDER_STATE_$state\"" "$WORK/order.ndjson"
done
step the order\'s watch told every state

REVIEW=$(call POST /v1/reviews "$BUYER" "{\"kind\": \"REVIEW_KIND_PRODUCT\", \"orderItemId\": \"$ITEM\", \"rating\": 5,
  \"text\": \"Pours without a drip.\"}" review | field review.reviewId)
call POST "/v1/reviews/$REVIEW:reply" "$OWNER" '{"text": "It was made by people who spill."}' reply >/dev/null
expect 1 "$(call GET "/v1/ratings/products/$PRODUCT_ID" '' | field ratingSummary.count)"
step the buyer reviews it, and the shop replies
