// A buyer from another language, with nothing of this project but the descriptor set: browse, cart, quote, order, watch,
// pay. Prints what happened as one line of JSON. Usage: node shop.cjs TARGET DESCRIPTORS E-MAIL PASSWORD PRODUCT_ID
'use strict';
const { randomUUID } = require('crypto');
const { readFileSync } = require('fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [target, descriptors, email, password, productId] = process.argv.slice(2);
const options = { keepCase: true, longs: String, enums: String, oneofs: true };
const contract = loader.loadFileDescriptorSetFromBuffer(readFileSync(descriptors), options);
const { marketplace } = grpc.loadPackageDefinition(contract);
const metadata = new grpc.Metadata();
const soon = () => ({ deadline: Date.now() + 30_000 });

const open = (Service) => new Service(target, grpc.credentials.createInsecure());
const auth = open(marketplace.auth.v1.AuthService);
const catalog = open(marketplace.catalog.v1.CatalogService);
const cart = open(marketplace.cart.v1.CartService);
const orders = open(marketplace.order.v1.OrderService);
const payments = open(marketplace.payment.v1.PaymentService);

function call(client, method, request) {
  return new Promise((resolve, reject) => {
    client[method](request, metadata, soon(), (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function main() {
  const page = await call(catalog, 'ListProducts', { page_size: 2 });
  const { product } = await call(catalog, 'GetProduct', { product_id: productId });
  const { tokens } = await call(auth, 'Register', { email, password, full_name: 'Ada Lovelace' });
  metadata.set('authorization', `Bearer ${tokens.access_token}`);
  await call(cart, 'AddCartItem', { request_id: randomUUID(), variant_id: product.variants[0].variant_id, quantity: 2 });
  const address = {
    recipient: 'Ada', phone: '+49301234567', lines: ['Torstr. 1'], city: 'Berlin', postal_code: '10119',
    region_code: 'DE', point: { latitude: 52.53, longitude: 13.41 },
  };
  const quote = await call(cart, 'QuoteOrder', { address });
  const place = { request_id: randomUUID(), quote_token: quote.quote_token, expected_total: quote.total };
  const { order_group: group } = await call(orders, 'PlaceOrder', place);
  const { order_group: again } = await call(orders, 'PlaceOrder', place);
  const order_id = group.orders[0].order_id;

  const states = [];
  const watch = orders.WatchOrder({ order_id }, metadata, soon());
  const pay = { request_id: randomUUID(), payment_id: group.payment.payment_id, payment_method: { sandbox: 'ok' } };
  let paid;
  for await (const message of watch) {
    for (const part of Object.values(message)) if (part && part.order) states.push(part.order.state);
    paid ??= call(payments, 'ConfirmPayment', pay); // only now: whatever it changes is seen
    if (states.at(-1) === 'ORDER_STATE_PAID') break;
  }
  const { payment } = await paid;
  const refused = await call(catalog, 'GetProduct', { product_id: randomUUID() }).catch((error) => error);
  console.log(JSON.stringify({
    listed: page.products.length, order_id, placed_once: again.orders[0].order_id === order_id,
    total: group.total, states, payment: payment.state, refused: grpc.status[refused.code],
  }));
}

main().then(() => process.exit(0), (error) => {
  console.error(error.stack);
  process.exit(1);
});
