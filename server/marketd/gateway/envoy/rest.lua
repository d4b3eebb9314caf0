-- What the transcoder leaves to be done for people who call REST. `BINDINGS` (method, pattern of a path), `REPLIES` (the
-- errors of the gateway by status) and `REASONS` (of a status that came without one, by code) stand before it.

local MARK = "x-stream-errors"
local REPLY = "x-gateway-reply"
-- What gRPC needs and JSON does not, and what the workers say at the end of an answer that JSON has at its beginning.
local DROPPED = {"grpc-status", "grpc-message", "grpc-accept-encoding", "grpc-encoding", "grpc-status-details-bin"}
local CARRIED = {"x-request-id", "replayed", "deprecated", "etag", "retry-after"}
local WAITS = {["429"] = "1", ["503"] = "1"}
local BODILESS = {GET = true, HEAD = true, DELETE = true, OPTIONS = true}

-- What clients wrote need not be UTF-8, which JSON has to be.
local function quoted(text)
  local plain = text:sub(1, 512):gsub("[\128-\255]", "?")
  local escaped = plain:gsub('[%c"\\]', function(one) return string.format("\\u%04x", one:byte()) end)
  return '"' .. escaped .. '"'
end

local function error_info(reason)
  return '{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":' .. quoted(reason)
    .. ',"domain":"marketplace.dev","metadata":{}}'
end

local function status(code, reason, message, field, description)
  local details = error_info(reason)
  if field then
    details = details .. ',{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":'
      .. quoted(field) .. ',"description":' .. quoted(description) .. ',"reason":""}]}'
  end
  return '{"code":' .. code .. ',"message":' .. quoted(message) .. ',"details":[' .. details .. ']}'
end

local function allowed(path)
  local methods, seen = {}, {}
  for _, binding in ipairs(BINDINGS) do
    if not seen[binding[1]] and path:find(binding[2]) then
      seen[binding[1]] = true
      methods[#methods + 1] = binding[1]
    end
  end
  return table.concat(methods, ", ")
end

local KINDS = {
  BOOL = "true or false", STRING = "a text", BYTES = "base64", DOUBLE = "a number", FLOAT = "a number",
  INT32 = "a whole number", UINT32 = "a whole number", INT64 = "a whole number", UINT64 = "a whole number",
  ["google.protobuf.Timestamp"] = "a time such as 2026-01-02T03:04:05Z",
  ["google.protobuf.Duration"] = "a span such as 61.5s",
}
local NO_BODY = "This method takes no body; what it is asked stands in the query."

-- What the transcoder said of a request that it could not read, as a status.
local function unreadable(text)
  local field = text:match('^Could not find field "([^"]*)"')
  if field then
    return status(3, "VALIDATION_FAILED", "The request has no parameter '" .. field
      .. "'; correct its name, or leave it out.", field, "is not known")
  end
  if text == NO_BODY then
    return status(3, "MALFORMED_REQUEST", text)
  end
  local object = text:match("^: invalid value Starting an object on a scalar field for type ([%w_]+)")
  if object then
    return status(3, "VALIDATION_FAILED", "'" .. object .. "' must be one value, no object.", object,
      "must be one value, no object")
  end
  field = text:match("^No value: (.*)")
  if field then
    return status(3, "VALIDATION_FAILED", "The parameter '" .. field .. "' has no value; write '" .. field
      .. "=' and one, or leave it out.", field, "must have a value")
  end
  local where, kind = text:match("^([^:]*): invalid value .* for type (.*)$")
  if where and where ~= "" then
    kind = kind:gsub("^type%.googleapis%.com/", "")
    kind = KINDS[kind:match("^TYPE_(%w+)$") or kind] or "a value of " .. kind .. ", as /openapi.json lists them"
    return status(3, "VALIDATION_FAILED", "'" .. where .. "' must be " .. kind .. ".", where, "must be " .. kind)
  end
  where = text:match("^binding (.*) conflicts") or text:match("^The binding value .- of the field (%S+) ")
  if where then
    return status(3, "VALIDATION_FAILED", "'" .. where .. "' stands in the path; the body must say the same or nothing.",
      where, "must be the same as in the path")
  end
  local line = text:match("^[:%s]*([^\r\n]*)") or ""
  return status(3, "MALFORMED_REQUEST", "The request is no JSON as this method takes it: " .. line)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local target = headers:get(":path")
  if target == nil then
    -- CONNECT: it has no path, and so no route that would have left this script out.
    handle:respond({[":status"] = "405"}, "see REPLIES")
    return
  end
  local path, query = target:match("^([^?]*)%??(.*)$")
  local method = headers:get(":method")
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("marketd.rest", "path", path)
  metadata:set("marketd.rest", "method", method)
  local id = headers:get("x-request-id") or ""
  metadata:set("marketd.rest", "id", #id <= 128 and id:match("^[%w._:/=+-]+$") or "")
  headers:replace(MARK, "message")
  if method == "OPTIONS" then
    local methods = allowed(path)
    if methods ~= "" then
      handle:respond({[":status"] = "204", allow = methods .. ", OPTIONS"})
    end
    return
  end
  for parameter in query:gmatch("[^&]+") do
    -- The transcoder would pass over it, whatever its name is.
    if not parameter:find("=", 1, true) then
      handle:respond({[":status"] = "400"}, "No value: " .. parameter)
      return
    end
  end
  local length = headers:get("content-length")
  local has_body = (length ~= nil and length ~= "0") or headers:get("transfer-encoding") ~= nil
  if BODILESS[method] then
    -- By HTTP/2 a body need not have been announced.
    local body = not has_body and handle:body() or nil
    if has_body or (body and body:length() > 0) then
      handle:respond({[":status"] = "400"}, NO_BODY)
    end
    return
  end
  local kind = headers:get("content-type")
  if length == "0" or kind == nil then
    return
  end
  local encoding = headers:get("content-encoding")
  local json = kind:lower():match("^%s*([^;]*)"):gsub("%s+$", "") == "application/json"
  if not json or (encoding ~= nil and encoding:lower() ~= "identity") then
    handle:respond({[":status"] = "415"}, "see REPLIES")
  end
end

-- For the access log: the transcoder has taken the status away by the time that a line is written.
local function told(metadata, text)
  local code = text and text:match('^{"code":(%d+)')
  if code then
    metadata:set("marketd.rest", "grpc_status", tonumber(code))
  end
end

function envoy_on_response(handle)
  local asked = handle:streamInfo():dynamicMetadata():get("marketd.rest")
  if asked == nil then
    return
  end
  local headers = handle:headers()
  headers:replace("x-content-type-options", "nosniff")
  if asked.path:sub(1, 4) == "/v1/" then
    -- Answers are somebody's own, and some have tokens.
    headers:replace("cache-control", "no-store")
  end
  for _, name in ipairs(DROPPED) do
    headers:remove(name)
  end
  local reply = headers:get(REPLY)
  if asked.id ~= "" and headers:get("x-request-id") == nil and reply ~= nil then
    headers:replace("x-request-id", asked.id)
  end
  headers:remove(REPLY)
  local code = headers:get(":status")
  if code == "401" then
    headers:replace("www-authenticate", "Bearer")
  end
  if code == "404" and reply ~= nil then
    local methods = allowed(asked.path)
    if methods ~= "" then
      code = "405"
      headers:replace(":status", code)
      headers:replace("allow", methods .. ", OPTIONS")
    end
  end
  if headers:get("content-length") == nil then
    if headers:get("x-not-modified") ~= nil then
      headers:remove("x-not-modified")
      headers:replace(":status", "304")
      return
    end
    if headers:get("content-type") == "application/json" and reply == nil then
      headers:replace("content-type", "application/x-ndjson")
    end
    return
  end
  if asked.method == "HEAD" or code == "204" then
    return
  end
  local body = handle:body(true)
  -- While it waited, the headers became others.
  headers = handle:headers()
  local trailers = handle:trailers()
  if trailers ~= nil then
    for _, name in ipairs(CARRIED) do
      local value = trailers:get(name)
      if value ~= nil then
        headers:replace(name, value)
      end
    end
  end
  local metadata = handle:streamInfo():dynamicMetadata()
  if tonumber(code) < 400 then
    metadata:set("marketd.rest", "grpc_status", 0)
    return
  end
  local written
  if reply ~= nil then
    written = code == "400" and unreadable(body:getBytes(0, body:length())) or REPLIES[code]
    told(metadata, written)
  else
    -- What never reached our own code has no reason: the core of gRPC wrote it.
    local text = body:getBytes(0, body:length())
    told(metadata, text)
    local bare = text:match('^{"code":(%d+),.*"details":%[%]}$')
    if bare then
      written = text:gsub('"details":%[%]}$', function()
        return '"details":[' .. error_info(REASONS[bare] or "INTERNAL") .. "]}"
      end)
    end
  end
  if reply ~= nil and WAITS[code] then
    headers:replace("retry-after", WAITS[code])
  end
  if written ~= nil then
    headers:replace("content-type", "application/json")
    headers:replace("content-length", tostring(body:setBytes(written)))
  end
end
